/* Bump arena with a hard limit, and the only door to the heap.
 *
 * One arena per request, job or reconcile; everything in it dies with it. The limit is the
 * defence against hostile messages. HF_ARENA_DEBUG=1 in the environment of a sanitizer build is
 * not needed: built with ASan each object is a malloc of its own, so that overruns are seen.
 *
 * Threads: an arena belongs to one thread at a time.
 */
#ifndef HF_BASE_ARENA_H
#define HF_BASE_ARENA_H

#include <stdarg.h>
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

/* Zeroed, 16-byte aligned; aborts when the limit is exceeded (a bug: inputs have ceilings). */
void *hf_alloc(struct hf_arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
/* The same, NULL when the limit is exceeded: for decoders of foreign bytes. Not zeroed. */
void *hf_try_alloc(struct hf_arena *arena, size_t size) __attribute__((malloc));
void *hf_dup(struct hf_arena *arena, const void *bytes, size_t size);
char *hf_strdup(struct hf_arena *arena, const char *text);
char *hf_strndup(struct hf_arena *arena, const char *text, size_t len);
char *hf_printf(struct hf_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *hf_vprintf(struct hf_arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#define HF_NEW(arena, type) ((type *)hf_alloc((arena), sizeof(type)))
#define HF_NEW_N(arena, type, n) ((type *)hf_alloc_n((arena), (n), sizeof(type)))
/* n * size with overflow check. */
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
