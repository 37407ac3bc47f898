/* Growth of HF_VEC. The old room stays in the arena, so growth doubles and costs at most as much
 * again as the final size. */
#include "base/vec.h"

#include <stdint.h>
#include <string.h>

#include "base/check.h"

void *hf_vec_grow(struct hf_arena *arena, void *items, size_t len, size_t *cap, size_t size)
{
    if (len < *cap) {
        memset((uint8_t *)items + len * size, 0, size);
        return items;
    }
    HF_CHECK(*cap < SIZE_MAX / 4);
    size_t new_cap = *cap == 0 ? 8 : 2 * *cap;
    void *room = hf_alloc_n(arena, new_cap, size);
    if (len > 0) {
        memcpy(room, items, len * size);
    }
    *cap = new_cap;
    return room;
}
