/* Authorisation and row-level security of schema platform, on a real server. */
#include <string.h>

#include "auth/auth.h"
#include "base/check.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;
static struct hf_arena *arena;
static struct hf_ctx ctx;

static const struct auth_peer alice = {"client", "alice"};
static const struct auth_peer bob = {"client", "bob"};
static const struct auth_peer mallory = {"client", "mallory"};

static int group_setup(void **unused)
{
    (void)unused;
    state = state_db_new();
    arena = hf_arena_new((size_t)8 * 1024 * 1024);
    ctx = (struct hf_ctx){.arena = arena, .deadline_us = in_ms(60000)};
    must(auth_identity_put(&ctx, state->app, "default", &alice, "admin"));
    must(auth_identity_put(&ctx, state->app, "other", &bob, "viewer"));
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    hf_arena_free(arena);
    state_db_free(state);
    return 0;
}

static struct hf_status ask(const struct auth_peer *peer, const char *tenant,
                            const char *permission)
{
    struct auth_grant grant;
    return auth_authorize(&ctx, state->app, peer, tenant, permission, &grant);
}

static void test_authorize__gives_the_tenant_and_the_principal(void **unused)
{
    struct auth_grant grant;

    (void)unused;
    must(auth_authorize(&ctx, state->app, &alice, "default", "clusters.create", &grant));
    assert_string_equal(grant.tenant_id, state->tenant);
    assert_string_equal(grant.tenant_name, "default");
    assert_string_equal(grant.principal, "client/alice");
    assert_string_equal(grant.role, "admin");
}

static void test_authorize__role_without_permission_is_denied(void **unused)
{
    (void)unused;
    must(ask(&bob, "other", "backups.list"));
    struct hf_status status = ask(&bob, "other", "backups.create");
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
    assert_string_equal(status.info->reason, "PERMISSION_MISSING");
}

static void test_authorize__unknown_identity_is_denied(void **unused)
{
    (void)unused;
    struct hf_status status = ask(&mallory, "default", "backups.list");
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
    assert_string_equal(status.info->reason, "IDENTITY_UNKNOWN");
    /* The same name under another kind is another identity. */
    const struct auth_peer service_alice = {"service", "alice"};
    assert_int_equal(ask(&service_alice, "default", "backups.list").code, HF_PERMISSION_DENIED);
}

static void test_authorize__foreign_tenant_looks_like_none(void **unused)
{
    (void)unused;
    struct hf_status foreign = ask(&alice, "other", "backups.list");
    struct hf_status absent = ask(&alice, "there-is-none", "backups.list");
    assert_int_equal(foreign.code, HF_NOT_FOUND);
    assert_int_equal(absent.code, HF_NOT_FOUND);
    assert_string_equal(foreign.message, "tenant other not found");
    assert_string_equal(absent.message, "tenant there-is-none not found");
    assert_string_equal(foreign.info->reason, absent.info->reason);
    assert_int_equal(foreign.info->metadata_len, absent.info->metadata_len);
}

static void test_identity__denial_holds_from_the_next_call_on(void **unused)
{
    const struct auth_peer carol = {"client", "carol"};

    (void)unused;
    must(auth_identity_put(&ctx, state->app, "default", &carol, "operator"));
    must(ask(&carol, "default", "backups.create"));
    must(auth_identity_deny(&ctx, state->app, "default", &carol));
    struct hf_status status = ask(&carol, "default", "backups.create");
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
    assert_string_equal(status.info->reason, "IDENTITY_DENIED");
    must(auth_identity_put(&ctx, state->app, "default", &carol, "operator"));
    must(ask(&carol, "default", "backups.create"));
    assert_int_equal(auth_identity_deny(&ctx, state->app, "default", &mallory).code, HF_NOT_FOUND);
}

static void test_identity__bad_input_is_refused(void **unused)
{
    const struct auth_peer bad_kind = {"root", "x"};
    const struct auth_peer bad_name = {"client", "X y"};

    (void)unused;
    assert_int_equal(auth_identity_put(&ctx, state->app, "default", &bad_kind, "admin").code,
                     HF_INVALID_ARGUMENT);
    assert_int_equal(auth_identity_put(&ctx, state->app, "default", &bad_name, "admin").code,
                     HF_INVALID_ARGUMENT);
    assert_int_equal(auth_identity_put(&ctx, state->app, "default", &alice, "god").code,
                     HF_INVALID_ARGUMENT);
    assert_int_equal(auth_identity_put(&ctx, state->app, "no-tenant", &alice, "admin").code,
                     HF_NOT_FOUND);
}

static int64_t count_as(const char *tenant, const char *sql)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    must(db_tx_begin(&ctx, state->app, tenant, DB_READ_COMMITTED, &tx));
    must(db_query(&ctx, tx, sql, DB_NO_ARGS, &rows));
    return db_int(rows, 0, 0);
}

static void test_rls__one_tenant_sees_nothing_of_the_other(void **unused)
{
    (void)unused;
    assert_int_equal(
        count_as(state->tenant, "SELECT count(*) FROM platform.identities WHERE name = 'alice'"),
        1);
    assert_int_equal(
        count_as(state->other, "SELECT count(*) FROM platform.identities WHERE name = 'alice'"), 0);
    assert_int_equal(count_as(state->other, "SELECT count(*) FROM platform.tenants"), 1);
}

static void test_rls__one_tenant_cannot_write_into_the_other(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->other, DB_READ_COMMITTED, &tx));
    struct hf_status status =
        db_exec(&ctx, tx,
                "INSERT INTO platform.identities (tenant_id, kind, name, role)"
                " VALUES ($1::uuid, 'client', 'mallory', 'admin')",
                DB_ARGS(DB_UUID(state->tenant)), NULL);
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
}

static void test_rls__is_forced_on_every_table(void **unused)
{
    static const char sql[] =
        "SELECT coalesce(string_agg(c.oid::regclass::text, ' '), '') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('platform', 'backup') AND c.relkind = 'r'"
        " AND c.relname <> 'schema_migrations'"
        " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)";

    (void)unused;
    assert_string_equal(state_db_sql(state, sql), "");
}

static void test_rls__owner_cannot_be_reached_by_the_services(void **unused)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)unused;
    must(db_tx_begin(&ctx, state->app, state->tenant, DB_READ_COMMITTED, &tx));
    struct hf_status status = db_exec(&ctx, tx, "SET ROLE holdfast_owner", DB_NO_ARGS, NULL);
    assert_int_equal(status.code, HF_PERMISSION_DENIED);
}

static void test_tenants__are_listed_by_name(void **unused)
{
    const struct auth_tenant *tenants = NULL;
    const char *name = NULL;
    size_t len = 0;

    (void)unused;
    must(auth_tenant_list(&ctx, state->app, &tenants, &len));
    assert_int_equal(len, 2);
    assert_string_equal(tenants[0].name, "default");
    assert_string_equal(tenants[1].name, "other");
    must(auth_tenant_name(&ctx, state->app, state->other, &name));
    assert_string_equal(name, "other");
}

static void test_tenant_create__name_is_taken_once(void **unused)
{
    const char *id = NULL;

    (void)unused;
    assert_int_equal(auth_tenant_create(&ctx, state->owner, "other", &id).code, HF_ALREADY_EXISTS);
    assert_int_equal(auth_tenant_create(&ctx, state->owner, "No Name", &id).code,
                     HF_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authorize__gives_the_tenant_and_the_principal),
        cmocka_unit_test(test_authorize__role_without_permission_is_denied),
        cmocka_unit_test(test_authorize__unknown_identity_is_denied),
        cmocka_unit_test(test_authorize__foreign_tenant_looks_like_none),
        cmocka_unit_test(test_identity__denial_holds_from_the_next_call_on),
        cmocka_unit_test(test_identity__bad_input_is_refused),
        cmocka_unit_test(test_rls__one_tenant_sees_nothing_of_the_other),
        cmocka_unit_test(test_rls__one_tenant_cannot_write_into_the_other),
        cmocka_unit_test(test_rls__is_forced_on_every_table),
        cmocka_unit_test(test_rls__owner_cannot_be_reached_by_the_services),
        cmocka_unit_test(test_tenants__are_listed_by_name),
        cmocka_unit_test(test_tenant_create__name_is_taken_once),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
