/* The fixture of all tests that need the state database. */
#include "tests/unit/libs/db/state_db.h"

#include <stdio.h>
#include <string.h>

#include "auth/auth.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "db/migrate.h"
#include "jobs/jobs.h"

void must(struct hf_status status)
{
    if (!hf_is_ok(status)) {
        fprintf(stderr, "%s: %s\n", hf_code_name(status.code), status.message);
    }
    HF_CHECK(hf_is_ok(status));
}

int64_t in_ms(int ms)
{
    return hf_mono_us() + (int64_t)ms * 1000;
}

void pause_ms(int ms)
{
    struct hf_ctx ctx = {.arena = NULL};
    must(hf_ctx_sleep(&ctx, ms));
}

static const char *conninfo(struct state_db *state, const char *user)
{
    return hf_printf(state->arena, "host=%s port=%d dbname=holdfast user=%s",
                     pgserver_socket(state->server), pgserver_port(state->server), user);
}

static struct db *pool(const char *info, enum db_role role)
{
    const struct db_options options = {
        .conninfo = info, .role = role, .schema = "backup", .application_name = "test"};
    return db_new(&options);
}

static void migrate(struct state_db *state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)16 * 1024 * 1024);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = in_ms(60000)};
    const struct db_schema schemas[] = {auth_schema(), jobs_schema("backup")};
    const char *other = NULL;

    must(db_bootstrap(&ctx, state->super_conninfo, auth_bootstrap_sql()));
    must(db_bootstrap(&ctx, state->super_conninfo, auth_bootstrap_sql()));
    must(db_migrate(&ctx, state->migrate_conninfo, schemas, HF_LEN(schemas)));
    must(auth_tenant_create(&ctx, state->owner, "other", &other));
    must(auth_tenant_id(&ctx, state->app, "default", &state->tenant));
    state->tenant = hf_strdup(state->arena, state->tenant);
    state->other = hf_strdup(state->arena, other);
}

struct state_db *state_db_new(void)
{
    static const char *const settings[] = {"fsync = on", NULL};
    const struct pgserver_options options = {.settings = settings};
    struct state_db *state = hf_heap_alloc(sizeof(*state));

    state->arena = hf_arena_new((size_t)1024 * 1024);
    state->server = pgserver_new(&options);
    (void)pgserver_sql(state->server, "CREATE DATABASE holdfast");
    state->migrate_conninfo = conninfo(state, "holdfast_migrate");
    state->app_conninfo = conninfo(state, "holdfast_app");
    state->dispatch_conninfo = conninfo(state, "holdfast_dispatch");
    state->super_conninfo = conninfo(state, "postgres");
    state->app = pool(state->app_conninfo, DB_APP);
    state->dispatch = pool(state->dispatch_conninfo, DB_DISPATCH);
    state->owner = pool(state->migrate_conninfo, DB_OWNER);
    migrate(state);
    return state;
}

void state_db_free(struct state_db *state)
{
    db_free(state->app);
    db_free(state->dispatch);
    db_free(state->owner);
    pgserver_free(state->server);
    hf_arena_free(state->arena);
    hf_heap_free(state);
}

const char *state_db_sql(struct state_db *state, const char *sql)
{
    const char *const args[] = {
        "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", state->super_conninfo, "-c", sql, NULL};
    char *out = NULL;

    int status = pgserver_run(state->server, args, &out);
    if (status != 0) {
        fprintf(stderr, "%s\n%s\n", sql, out);
    }
    HF_CHECK(status == 0);
    const char *copy = hf_strndup(state->arena, out, strcspn(out, "\n"));
    hf_heap_free(out);
    return copy;
}

int64_t state_db_count(struct state_db *state, const char *sql)
{
    int64_t count = 0;
    HF_CHECK(hf_parse_i64(state_db_sql(state, sql), &count));
    return count;
}

void state_db_wait(struct state_db *state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)4 * 1024 * 1024);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = in_ms(20000)};

    while (db_check(&ctx, state->dispatch).code == HF_UNAVAILABLE) {
        pause_ms(50);
    }
}
