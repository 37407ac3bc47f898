/* A fresh local vault with one realm, for the tests of libs/vault. */
#ifndef TESTS_VAULT_FIXTURE_H
#define TESTS_VAULT_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/ctx.h"
#include "base/fd.h"
#include "objstore/objstore.h"
#include "tests/unit/unit.h"
#include "vault/journal.h"
#include "vault/keyring.h"
#include "vault/pack.h"

#define FIXTURE_SOURCE "tenants/acme/sources/orders"

struct fixture {
    struct hf_ctx ctx;
    char dir[64];
    char *signing_path;
    uint8_t kek[VAULT_KEY_LEN];
    struct objstore *store;
    struct vault_keyring *keyring;
};

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        struct hf_status status_ = (expr);                                                         \
        if (status_.code != HF_OK) {                                                               \
            fail_msg("%s: %s", hf_code_name(status_.code), status_.message);                       \
        }                                                                                          \
    } while (0)

#define assert_code(expr, wanted)                                                                  \
    do {                                                                                           \
        struct hf_status status_ = (expr);                                                         \
        if (status_.code != (wanted)) {                                                            \
            fail_msg("wanted %s, got %s: %s", hf_code_name(wanted), hf_code_name(status_.code),    \
                     status_.message != NULL ? status_.message : "");                              \
        }                                                                                          \
    } while (0)

/* code and reason; evaluates to nothing. */
#define assert_reason(expr, wanted, wanted_reason)                                                 \
    do {                                                                                           \
        struct hf_status reason_ = (expr);                                                         \
        assert_code(reason_, (wanted));                                                            \
        assert_non_null(reason_.info);                                                             \
        assert_string_equal(reason_.info->reason, (wanted_reason));                                \
    } while (0)

static inline struct vault_realm_options fixture_realm(const struct fixture *f)
{
    return (struct vault_realm_options){
        .realm = "acme", .kek = f->kek, .signing_key_path = f->signing_path, .create = true};
}

/* base: an existing directory. */
static inline int fixture_setup_in(void **state, const char *base)
{
    struct fixture *f = hf_heap_alloc(sizeof(*f));
    struct vault_realm_options realm;

    f->ctx.arena = hf_arena_new((size_t)1 << 30);
    (void)snprintf(f->dir, sizeof(f->dir), "%s/hf-vault-XXXXXX", base);
    assert_non_null(mkdtemp(f->dir));
    memset(f->kek, 7, sizeof(f->kek));
    f->signing_path = hf_printf(f->ctx.arena, "%s/signing.pem", f->dir);
    assert_ok(vault_signing_key_make(&f->ctx, f->signing_path));
    assert_ok(
        objstore_local_open(&f->ctx, hf_printf(f->ctx.arena, "%s/vault", f->dir), true, &f->store));
    realm = fixture_realm(f);
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &f->keyring));
    *state = f;
    return 0;
}

static inline int fixture_setup(void **state)
{
    return fixture_setup_in(state, "/tmp");
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    vault_keyring_free(f->keyring);
    objstore_free(f->store);
    (void)hf_is_ok(hf_remove_tree(f->ctx.arena, f->dir));
    hf_arena_free(f->ctx.arena);
    hf_heap_free(f);
    return 0;
}

/* The whole object, in the arena. */
static inline struct hf_bytes fixture_object(struct fixture *f, const char *name)
{
    uint64_t size = 0;
    uint8_t *bytes;

    assert_ok(objstore_head(&f->ctx, f->store, name, &size));
    bytes = hf_alloc(f->ctx.arena, (size_t)size + 1);
    assert_ok(objstore_read(&f->ctx, f->store, name, 0, (size_t)size, bytes));
    return (struct hf_bytes){bytes, (size_t)size};
}

/* Replace an object behind the store's back, as an attacker with the bucket would. */
static inline void fixture_replace(struct fixture *f, const char *name, struct hf_bytes bytes)
{
    assert_ok(objstore_remove(&f->ctx, f->store, name));
    assert_ok(objstore_put(&f->ctx, f->store, name, bytes));
}

#define fixture_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

#endif
