/* Bump arena, and the only caller of malloc in the product.
 *
 * Surprise: built with AddressSanitizer there are no chunks. Each object is a malloc of its own,
 * so that an overrun of one object is seen and not lost in its neighbour. */
#include "base/arena.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define ARENA_IS_PLAIN HF_HAS_ASAN
#define ALIGNMENT 16
#define FIRST_CHUNK_BYTES 2048
#define MAX_CHUNK_BYTES 65536
#define MAX_KEPT_BYTES 16384

/* Header before the objects of one malloc; its size keeps them aligned. */
struct chunk {
    _Alignas(ALIGNMENT) struct chunk *older;
    size_t cap;
    size_t len;
};

struct hf_arena {
    struct chunk *newest;
    size_t max;
    size_t used;
    size_t next_chunk_bytes;
    bool is_over;
};

static void *must(void *p)
{
    HF_CHECK(p != NULL && "the system has no memory");
    return p;
}

static size_t round_up(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static uint8_t *chunk_bytes(struct chunk *chunk)
{
    return (uint8_t *)(chunk + 1);
}

static struct chunk *chunk_add(struct hf_arena *arena, size_t cap)
{
    struct chunk *chunk = must(malloc(sizeof(*chunk) + cap));

    chunk->older = arena->newest;
    chunk->cap = cap;
    chunk->len = 0;
    arena->newest = chunk;
    return chunk;
}

/* The chunk with room for size more bytes. A big object gets one of its own, put behind the newest
 * so that the room left there is not lost. */
static struct chunk *chunk_for(struct hf_arena *arena, size_t size)
{
    struct chunk *newest = arena->newest;

    if (ARENA_IS_PLAIN) {
        return chunk_add(arena, size);
    }
    if (newest != NULL && newest->cap - newest->len >= size) {
        return newest;
    }
    if (newest != NULL && size > MAX_CHUNK_BYTES / 4) {
        struct chunk *own = chunk_add(arena, size);
        own->older = newest->older;
        newest->older = own;
        arena->newest = newest;
        return own;
    }
    size_t cap = arena->next_chunk_bytes > size ? arena->next_chunk_bytes : size;
    if (arena->next_chunk_bytes < MAX_CHUNK_BYTES) {
        arena->next_chunk_bytes *= 2;
    }
    return chunk_add(arena, cap);
}

struct hf_arena *hf_arena_new(size_t max_bytes)
{
    struct hf_arena *arena = must(calloc(1, sizeof(*arena)));

    arena->max = max_bytes;
    arena->next_chunk_bytes = FIRST_CHUNK_BYTES;
    return arena;
}

/* The oldest chunk may be kept for reuse, but not when it was made for one big object. */
static void drop_chunks(struct hf_arena *arena, bool keep_first)
{
    while (arena->newest != NULL) {
        struct chunk *chunk = arena->newest;
        if (keep_first && chunk->older == NULL && chunk->cap <= MAX_KEPT_BYTES) {
            return;
        }
        arena->newest = chunk->older;
        free(chunk);
    }
    arena->next_chunk_bytes = FIRST_CHUNK_BYTES;
}

void hf_arena_free(struct hf_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    drop_chunks(arena, false);
    free(arena);
}

void hf_arena_reset(struct hf_arena *arena)
{
    drop_chunks(arena, !ARENA_IS_PLAIN);
    if (arena->newest != NULL) {
        arena->newest->len = 0;
    }
    arena->used = 0;
    arena->is_over = false;
}

size_t hf_arena_used(const struct hf_arena *arena)
{
    return arena->used;
}

bool hf_arena_is_over(const struct hf_arena *arena)
{
    return arena->is_over;
}

/* size bytes when they lie within max, else NULL. */
static void *take_within(struct hf_arena *arena, size_t size, size_t max)
{
    HF_CHECK(arena != NULL);
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t rounded = size == 0 ? ALIGNMENT : round_up(size);
    if (rounded > max || arena->used > max - rounded) {
        return NULL;
    }
    size_t room = ARENA_IS_PLAIN && size > 0 ? size : rounded;
    struct chunk *chunk = chunk_for(arena, room);
    void *p = chunk_bytes(chunk) + chunk->len;
    chunk->len += room;
    arena->used += rounded;
    return p;
}

void *hf_try_alloc(struct hf_arena *arena, size_t size)
{
    return take_within(arena, size, arena->max);
}

void *hf_try_alloc_spare(struct hf_arena *arena, size_t size)
{
    size_t max = arena->max > SIZE_MAX - HF_ARENA_SPARE ? SIZE_MAX : arena->max + HF_ARENA_SPARE;

    return take_within(arena, size, max);
}

/* A chunk of its own straight from calloc: of a size that is far too big no page is touched. */
static void *take_beyond(struct hf_arena *arena, size_t size)
{
    HF_CHECK(size <= SIZE_MAX / 2);
    struct chunk *chunk = must(calloc(1, sizeof(*chunk) + size));

    chunk->cap = size;
    chunk->len = size;
    if (arena->newest == NULL) {
        arena->newest = chunk;
    } else {
        chunk->older = arena->newest->older;
        arena->newest->older = chunk;
    }
    arena->used += round_up(size);
    arena->is_over = true;
    return chunk_bytes(chunk);
}

void *hf_alloc(struct hf_arena *arena, size_t size)
{
    void *p = hf_try_alloc(arena, size);

    return p == NULL ? take_beyond(arena, size) : memset(p, 0, size);
}

void *hf_alloc_n(struct hf_arena *arena, size_t n, size_t size)
{
    size_t bytes;

    HF_CHECK(!__builtin_mul_overflow(n, size, &bytes));
    return hf_alloc(arena, bytes);
}

void *hf_dup(struct hf_arena *arena, const void *bytes, size_t size)
{
    void *p = hf_alloc(arena, size);

    if (size > 0) {
        memcpy(p, bytes, size);
    }
    return p;
}

char *hf_strndup(struct hf_arena *arena, const char *text, size_t len)
{
    char *p = hf_alloc(arena, len + 1);

    if (len > 0) {
        memcpy(p, text, len);
    }
    return p;
}

char *hf_strdup(struct hf_arena *arena, const char *text)
{
    return hf_strndup(arena, text, strlen(text));
}

char *hf_vprintf(struct hf_arena *arena, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (len < 0) { /* longer than INT_MAX */
        arena->is_over = true;
        return hf_strdup(arena, "");
    }
    char *text = hf_alloc(arena, (size_t)len + 1);
    HF_CHECK(vsnprintf(text, (size_t)len + 1, format, args) == len);
    return text;
}

char *hf_printf(struct hf_arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = hf_vprintf(arena, format, args);
    va_end(args);
    return text;
}

void *hf_heap_alloc(size_t size)
{
    return must(calloc(1, size == 0 ? 1 : size));
}

void *hf_heap_grow(void *old, size_t size)
{
    return must(realloc(old, size == 0 ? 1 : size));
}

void hf_heap_free(void *p)
{
    free(p);
}

char *hf_heap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(hf_heap_alloc(size), text, size);
}

void hf_heap_trim(void)
{
    (void)malloc_trim(0);
}
