/* Lies of somebody who holds the vault's key: entries of a map, facts and counts of a root. */
#ifndef TESTS_HOSTILE_LIES_H
#define TESTS_HOSTILE_LIES_H

#include "tests/unit/libs/restore/whole_fixture.h"

#define ENTRIES_MAX 64

struct lie {
    struct vault_map_entry entry;
    struct vault_run runs[8];
    char path[VAULT_PATH_MAX + 1];
    char link[512];
};

struct hostile {
    struct whole w;
    struct fixture *f;
    struct vault_root honest;
    struct vault_root root; /* of this round */
    struct lie *honest_entries;
    size_t honest_len;
    struct lie *entries; /* of this round */
    size_t len;
    uint64_t seed;
    char *outside; /* canary directory */
    char *box;     /* canary and what is written lie in it */
    char *work;    /* what may be written */
    char *before;  /* snapshot */
    char *map;
    char *label;
};

/* A number below the bound, from h->seed. */
uint64_t hostile_pick(struct hostile *h, uint64_t below);
/* Point the entry's texts and runs at its own; again after it moved. */
void hostile_name(struct lie *lie, const char *path);
/* One lie more about this round's point. */
void hostile_lie(struct hostile *h);

#endif
