/* Appends backups to a source's journal that are authentic and lie: for test_hostile_key.py.
 *
 *     attack_liar VAULT KEY-FILE SIGNING-KEY PREFIX SEED COUNT
 *
 * Each is the newest honest backup with a lie or two from tests/unit/libs/vault/keyed.c; the ids
 * are printed, one a line. */
#include "base/clock.h"
#include "tests/unit/libs/vault/keyed.h"

static void open_vault(struct fixture *f, char **argv)
{
    struct vault_realm_options realm = {.kek = f->kek, .signing_key_path = argv[3]};
    const char *begin = strchr(argv[4], '/') + 1; /* tenants/<realm>/… */

    f->ctx.arena = hf_arena_new((size_t)1 << 30);
    realm.realm = hf_strndup(f->ctx.arena, begin, strcspn(begin, "/"));
    assert_ok(vault_kek_load(&f->ctx, argv[2], f->kek));
    assert_ok(objstore_local_open(&f->ctx, argv[1], false, &f->store));
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &f->keyring));
}

static void lie(struct keyed *k, struct vault_source_state *state)
{
    struct fixture *f = k->f;
    struct vault_root root = keyed_copy(k, f->ctx.arena);
    struct vault_entry entry = {.kind = VAULT_ENTRY_BACKUP};

    for (uint64_t lies = 1 + keyed_pick(k, 2); lies > 0; lies--) {
        keyed_lie(k, &root);
    }
    entry.u.backup = keyed_root(k, &root);
    entry.u.backup.stop_time_us = k->point.stop_time_us + (int64_t)keyed_pick(k, 1000);
    assert_ok(vault_journal_append(&f->ctx, f->store, f->keyring, k->prefix, state, &entry));
    (void)printf("%s\n", entry.u.backup.id);
}

int main(int argc, char **argv)
{
    struct fixture f = {.store = NULL};
    struct keyed k = {.f = &f};
    struct vault_source_state state;

    if (argc != 7) {
        (void)fprintf(stderr, "attack_liar VAULT KEY-FILE SIGNING-KEY PREFIX SEED COUNT\n");
        return 2;
    }
    open_vault(&f, argv);
    k.prefix = argv[4];
    k.seed = strtoull(argv[5], NULL, 10) * 2654435761u + 1;
    assert_ok(vault_journal_read(&f.ctx, f.store, f.keyring, k.prefix, 0, NULL, &state));
    assert_true(state.points_len > 0);
    k.point = state.points[state.points_len - 1];
    const struct vault_place place = {f.store, f.keyring, k.prefix};

    assert_ok(vault_root_open(&f.ctx, &place, k.point.root, k.point.root_sha256, &k.honest));
    for (uint64_t count = strtoull(argv[6], NULL, 10); count > 0; count--) {
        lie(&k, &state);
    }
    vault_keyring_free(f.keyring);
    objstore_free(f.store);
    hf_arena_free(f.ctx.arena);
    return 0;
}
