/* Text-keyed hash map (uthash inside), keys copied. Values are borrowed pointers. */
#ifndef HF_BASE_MAP_H
#define HF_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct hf_map;

struct hf_map *hf_map_new(void);
void hf_map_free(struct hf_map *map);                        /* accepts NULL; values stay */
void *hf_map_get(const struct hf_map *map, const char *key); /* NULL when absent */
/* Returns the value that was there before, or NULL. value must not be NULL. */
void *hf_map_put(struct hf_map *map, const char *key, void *value);
/* Returns the removed value or NULL. */
void *hf_map_remove(struct hf_map *map, const char *key);
size_t hf_map_len(const struct hf_map *map);
/* Visit in insertion order; fn returns false to stop; it must not change the map. */
void hf_map_each(const struct hf_map *map, bool (*fn)(const char *key, void *value, void *arg),
                 void *arg);

HF_DEFINE_CLEANUP(struct hf_map *, hf_map_free)

#endif
