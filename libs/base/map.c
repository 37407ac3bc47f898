/* Text-keyed map over uthash; nothing else in the product includes it.
 *
 * Surprise: the hash is ours (FNV-1a from a random start per map), because keys may come from
 * strangers and uthash's own hash has no key. */
#include "base/map.h"

#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/id.h"

#define uthash_malloc(size) hf_heap_alloc(size)
#define uthash_free(p, size) hf_heap_free(p)
#define uthash_fatal(text) hf_check_failed(__FILE__, __LINE__, (text))
#include <uthash.h>

struct entry {
    void *value;
    UT_hash_handle hh;
    char key[];
};

struct hf_map {
    struct entry *entries;
    uint64_t seed;
};

struct hf_map *hf_map_new(void)
{
    struct hf_map *map = hf_heap_alloc(sizeof(*map));

    hf_random(&map->seed, sizeof(map->seed));
    return map;
}

static unsigned hash_of(const struct hf_map *map, const char *key)
{
    uint64_t hash = map->seed;

    for (const char *at = key; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return (unsigned)(hash ^ (hash >> 32));
}

static struct entry *find(const struct hf_map *map, const char *key)
{
    struct entry *entry = NULL;

    HASH_FIND_BYHASHVALUE(hh, map->entries, key, strlen(key), hash_of(map, key), entry);
    return entry;
}

static void drop(struct hf_map *map, struct entry *entry)
{
    HASH_DEL(map->entries, entry);
    hf_heap_free(entry);
}

void hf_map_free(struct hf_map *map)
{
    if (map == NULL) {
        return;
    }
    while (map->entries != NULL) {
        drop(map, map->entries);
    }
    hf_heap_free(map);
}

void *hf_map_get(const struct hf_map *map, const char *key)
{
    const struct entry *entry = find(map, key);

    return entry == NULL ? NULL : entry->value;
}

void *hf_map_put(struct hf_map *map, const char *key, void *value)
{
    struct entry *entry = find(map, key);

    HF_CHECK(value != NULL);
    if (entry != NULL) {
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    size_t key_size = strlen(key) + 1;
    entry = hf_heap_alloc(sizeof(*entry) + key_size);
    memcpy(entry->key, key, key_size);
    entry->value = value;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, map->entries, entry->key, key_size - 1, hash_of(map, key),
                                entry);
    return NULL;
}

void *hf_map_remove(struct hf_map *map, const char *key)
{
    struct entry *entry = find(map, key);

    if (entry == NULL) {
        return NULL;
    }
    void *value = entry->value;
    drop(map, entry);
    return value;
}

size_t hf_map_len(const struct hf_map *map)
{
    return HASH_COUNT(map->entries);
}

void hf_map_each(const struct hf_map *map, bool (*fn)(const char *key, void *value, void *arg),
                 void *arg)
{
    for (struct entry *entry = map->entries; entry != NULL; entry = entry->hh.next) {
        if (!fn(entry->key, entry->value, arg)) {
            return;
        }
    }
}
