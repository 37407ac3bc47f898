/* Typed growable arrays on an arena: HF_VEC(struct thing) things = {0}; */
#ifndef HF_BASE_VEC_H
#define HF_BASE_VEC_H

#include <stddef.h>

#include "base/arena.h"

#define HF_VEC(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len;                                                                                \
        size_t cap;                                                                                \
    }

/* Append a zeroed item and yield its address; earlier addresses become invalid. */
#define HF_VEC_ADD(arena, vec)                                                                     \
    ((vec)->items =                                                                                \
         hf_vec_grow((arena), (vec)->items, (vec)->len, &(vec)->cap, sizeof((vec)->items[0])),     \
     &(vec)->items[(vec)->len++])

/* Room for one more; zeroes new room. */
void *hf_vec_grow(struct hf_arena *arena, void *items, size_t len, size_t *cap, size_t size);

#endif
