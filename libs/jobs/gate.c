/* Dependencies that are down. While one is, a single job may try it at a time (the probe); each run
 * that succeeds doubles how many may run together, and past 64 the dependency is forgotten. Only
 * jobs that were deferred before pass here: the first one has to find out. */
#include <string.h>

#include "base/map.h"
#include "jobs/internal.h"

#define OPEN_AT 64

struct entry {
    size_t limit;
    size_t inside;
};

struct jobs_gate {
    struct hf_lock entries_lock; /* guards: */
    struct hf_map *entries;
};

struct jobs_gate *jobs_gate_new(void)
{
    struct jobs_gate *gate = hf_heap_alloc(sizeof(*gate));

    hf_lock_init(&gate->entries_lock);
    gate->entries = hf_map_new();
    return gate;
}

static bool free_entry(const char *key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    hf_heap_free(value);
    return true;
}

void jobs_gate_free(struct jobs_gate *gate)
{
    if (gate == NULL) {
        return;
    }
    hf_map_each(gate->entries, free_entry, NULL);
    hf_map_free(gate->entries);
    hf_lock_done(&gate->entries_lock);
    hf_heap_free(gate);
}

bool jobs_gate_enter(struct jobs_gate *gate, const char *dependency)
{
    bool may_enter = true;

    hf_lock_take(&gate->entries_lock);
    struct entry *entry = hf_map_get(gate->entries, dependency);
    if (entry != NULL) {
        may_enter = entry->inside < entry->limit;
        entry->inside += may_enter ? 1 : 0;
    }
    hf_lock_release(&gate->entries_lock);
    return may_enter;
}

static void closed(struct jobs_gate *gate, const char *dependency, struct entry *entry)
{
    if (entry == NULL) {
        entry = hf_heap_alloc(sizeof(*entry));
        hf_map_put(gate->entries, dependency, entry);
    }
    entry->limit = 1;
}

void jobs_gate_leave(struct jobs_gate *gate, const char *dependency, bool has_entered,
                     bool was_deferred)
{
    hf_lock_take(&gate->entries_lock);
    struct entry *entry = hf_map_get(gate->entries, dependency);
    if (entry != NULL && has_entered && entry->inside > 0) {
        entry->inside--;
    }
    if (was_deferred) {
        closed(gate, dependency, entry);
    } else if (entry != NULL && has_entered) {
        entry->limit = entry->limit > OPEN_AT ? entry->limit : entry->limit * 2;
        if (entry->limit > OPEN_AT && entry->inside == 0) {
            hf_heap_free(hf_map_remove(gate->entries, dependency));
        }
    }
    hf_lock_release(&gate->entries_lock);
}
