/* One source, one receiver, what its hooks were told: for the tests of the WAL receiver. */
#ifndef HF_TESTS_RECEIVER_SCENE_H
#define HF_TESTS_RECEIVER_SCENE_H

#include "backup/source/receiver.h"
#include "egress/egress.h"
#include "testkit/pgserver.h"
#include "tests/unit/libs/vault/wal_fixture.h"

#define SEGMENT (16 * MIB)

struct scene {
    struct fixture *f;
    struct pgserver *server;
    struct receiver *receiver;
    struct egress *egress;
    const char *dsn;
    const char *lineage;
    const char *system_identifier;
    atomic_int gaps;
    atomic_int forks;
    atomic_int inventories;
    atomic_int stored;           /* times on_stored was asked */
    atomic_bool is_vault_lost;   /* on_inventory says so */
    atomic_bool is_journal_gone; /* on_vault says so */
    atomic_int keep_mb;          /* max_slot_wal_keep_size as on_look was told; 0: not yet */
};

/* Start the receiver. */
void scene_receive(struct scene *scene);
/* A source and a vault; no receiver yet. */
int scene_setup(void **state);
int scene_teardown(void **state);
struct hf_ctx within(const struct scene *scene, int seconds);
struct receiver_status status_of(const struct scene *scene);
void await_state(const struct scene *scene, enum receiver_state state);
uint64_t parse_lsn(const char *text);
uint64_t current_lsn(struct pgserver *server);
void await_lsn(const struct scene *scene, uint32_t timeline, uint64_t lsn);
struct vault_wal_place place_of(const struct scene *scene, const char *lineage);
/* That many segments, and a checkpoint that removes what nobody needs. */
void write_segments(struct pgserver *server, int count);

#define scene_test(fn) cmocka_unit_test_setup_teardown(fn, scene_setup, scene_teardown)

#endif
