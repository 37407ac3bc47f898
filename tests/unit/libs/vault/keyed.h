/* Objects of somebody who holds the vault's key and lies: authentic, signed, and wrong inside. */
#ifndef TESTS_KEYED_H
#define TESTS_KEYED_H

#include "tests/unit/libs/vault/source_fixture.h"
#include "vault/journal_entry.h"
#include "vault/mapset.h"
#include "vault/packtable.h"
#include "vault/root.h"

struct keyed {
    struct fixture *f;
    const char *prefix;
    struct source s;               /* one honest backup, */
    struct vault_point_info point; /* its point, */
    struct vault_root honest;      /* and its root, copied for each lie */
    uint64_t seed;
};

/* A number below the bound, from k->seed. */
static inline uint64_t keyed_pick(struct keyed *k, uint64_t below)
{
    k->seed ^= k->seed << 13;
    k->seed ^= k->seed >> 7;
    k->seed ^= k->seed << 17;
    return below == 0 ? 0 : (k->seed >> 11) % below;
}

/* A number that somebody else's arithmetic may not bear. */
static inline uint64_t keyed_number(struct keyed *k)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       VAULT_PAGE - 1,
                                       VAULT_PAGE + 1,
                                       UINT16_MAX,
                                       (UINT64_C(1) << 26) - 1,
                                       UINT64_C(1) << 31,
                                       UINT32_MAX,
                                       UINT64_C(1) << 32,
                                       VAULT_FILE_MAX,
                                       INT64_MAX,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX};
    uint64_t at = keyed_pick(k, HF_LEN(numbers) + 1);

    return at < HF_LEN(numbers) ? numbers[at] : keyed_pick(k, UINT64_MAX);
}

/* A number from the environment. */
uint64_t keyed_setting(const char *name, uint64_t otherwise);
/* One honest backup of a few files. */
void keyed_init(struct keyed *k, struct fixture *f);
/* For fixture tests: thousands of objects, in memory. */
int keyed_setup(void **state);
#define keyed_test(fn) cmocka_unit_test_setup_teardown(fn, keyed_setup, fixture_teardown)

/* --- judging --- */

struct keyed_call {
    const char *what;
    int64_t began_us;
};
struct keyed_call keyed_begin(const char *what);
/* It ended in time; a refusal has a text that a person can read. */
void keyed_end(struct keyed_call call, struct hf_status status);
/* Refused, with the object's name. */
void keyed_names(struct hf_status status, const char *object);
/* The peak of the whole program is within KEYED_MEMORY_KIB. */
void keyed_memory(void);
#define KEYED_MEMORY_KIB (1024 * 1024L)

/* --- lying --- */

/* What a blob is said to be, and what is sealed as it. */
struct keyed_blob {
    enum vault_blob_type type;
    enum vault_codec codec;
    uint32_t plain_len;
    struct hf_bytes coded;
};

/* Bytes as they are. */
struct keyed_blob keyed_raw(struct hf_bytes plain);
/* One zstd frame whose header says claim (UINT64_MAX: nothing) and that gives blocks × 128 KiB of
 * zeros. A few bytes stand for gigabytes. */
struct keyed_blob keyed_bomb(struct keyed *k, uint64_t claim, size_t blocks, uint32_t plain_len);
/* Seal the blobs as an object of the kind, times times each. ret_ref: what a root says of it. */
void keyed_put(struct keyed *k, enum vault_pack_kind kind, const struct keyed_blob *blobs,
               size_t len, size_t times, struct vault_table_ref *ret_ref);
/* The same under a name, with the number that its header has. */
void keyed_put_as(struct keyed *k, const struct vault_pack_options *options, const char *name,
                  const struct keyed_blob *blob, size_t times);
/* A root as it is, and what its point says of it. */
struct vault_point_info keyed_root(struct keyed *k, struct vault_root *root);
/* Change a few bytes of an authentic plaintext: what a fuzzer without the key never reaches. */
struct hf_bytes keyed_mutate(struct keyed *k, struct hf_bytes plain);

/* The honest root, encoded and read again: lies of a round leave it alone. */
struct vault_root keyed_copy(struct keyed *k, struct hf_arena *arena);
/* One lie about a point, in root; the objects that it needs are written. */
void keyed_lie(struct keyed *k, struct vault_root *root);

#endif
