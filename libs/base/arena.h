/* Bump arena with a limit, and the only door to the heap.
 *
 * One arena per request, job or reconcile; everything in it dies with it. The limit is a status
 * of that call or job, never the end of the process: hf_alloc beyond it still gives memory and
 * marks the arena as over. Whoever asks hf_ctx_check (every loop) or hf_arena_check (every
 * boundary, before it calls a result good) sees RESOURCE_EXHAUSTED. Sizes that a stranger names
 * in one number go through hf_try_alloc. Only the system without memory aborts.
 * Built with ASan each object is a malloc of its own, so that overruns are seen.
 *
 * Threads: an arena belongs to one thread at a time.
 */
#ifndef HF_BASE_ARENA_H
#define HF_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct hf_arena;

/* A new arena that can hold at most max_bytes; aborts when the system has no memory. */
struct hf_arena *hf_arena_new(size_t max_bytes);
/* Accepts NULL. */
void hf_arena_free(struct hf_arena *arena);
/* Forget all objects, keep the first chunk. */
void hf_arena_reset(struct hf_arena *arena);
/* Bytes handed out since new or reset. */
size_t hf_arena_used(const struct hf_arena *arena);

/* Was the limit exceeded since new or reset? The objects are whole, but more than they may be. */
bool hf_arena_is_over(const struct hf_arena *arena);

/* Zeroed, 16-byte aligned; beyond the limit the arena becomes over. */
void *hf_alloc(struct hf_arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
/* The same, NULL when the limit would be exceeded: for decoders of foreign bytes. Not zeroed. */
void *hf_try_alloc(struct hf_arena *arena, size_t size) __attribute__((malloc));
/* The same with HF_ARENA_SPARE bytes of room behind the limit: for statuses, because the commonest
 * reason to fail is that very limit. */
#define HF_ARENA_SPARE 32768
void *hf_try_alloc_spare(struct hf_arena *arena, size_t size) __attribute__((malloc));
void *hf_dup(struct hf_arena *arena, const void *bytes, size_t size);
char *hf_strdup(struct hf_arena *arena, const char *text);
char *hf_strndup(struct hf_arena *arena, const char *text, size_t len);
char *hf_printf(struct hf_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *hf_vprintf(struct hf_arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#define HF_NEW(arena, type) ((type *)hf_alloc((arena), sizeof(type)))
#define HF_NEW_N(arena, type, n) ((type *)hf_alloc_n((arena), (n), sizeof(type)))
/* n * size; a product that is no size_t aborts. */
void *hf_alloc_n(struct hf_arena *arena, size_t n, size_t size)
    __attribute__((malloc, returns_nonnull));

/* Heap for long-lived owners (new/free pairs) and big buffers. Zeroed; aborts without memory. */
void *hf_heap_alloc(size_t size) __attribute__((malloc, returns_nonnull));
/* Grow; new bytes are not zeroed. old may be NULL. */
void *hf_heap_grow(void *old, size_t size) __attribute__((returns_nonnull));
/* Accepts NULL. */
void hf_heap_free(void *p);
char *hf_heap_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* Give free pages back to the system (after a big job). */
void hf_heap_trim(void);

HF_DEFINE_CLEANUP(struct hf_arena *, hf_arena_free)
HF_DEFINE_CLEANUP(void *, hf_heap_free)
static inline void hf_heap_text_cleanup(char **p)
{
    hf_heap_free(*p);
    *p = NULL;
}

#endif
