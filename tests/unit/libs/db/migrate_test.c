/* Migrations: once, in order, unedited, whole or not at all. */
#include <string.h>

#include "base/check.h"
#include "base/pool.h"
#include "db/migrate.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;

static int group_setup(void **unused)
{
    (void)unused;
    state = state_db_new();
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    state_db_free(state);
    return 0;
}

static struct hf_status migrate(struct hf_arena *arena, const char *component,
                                const struct db_migration *migrations, size_t len)
{
    struct hf_ctx ctx = {.arena = arena, .deadline_us = in_ms(30000)};
    const struct db_schema schema = {"backup", component, migrations, len};
    return db_migrate(&ctx, state->migrate_conninfo, &schema, 1);
}

static void test_migrate__applies_each_once_as_the_owner(void **unused)
{
    static const struct db_migration steps[] = {
        {1, "first", "CREATE TABLE once (n int); INSERT INTO once VALUES (1)"},
        {2, "second", "INSERT INTO once VALUES (2)"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1024 * 1024);

    (void)unused;
    must(migrate(arena, "once", steps, 1));
    must(migrate(arena, "once", steps, 2));
    must(migrate(arena, "once", steps, 2));
    assert_int_equal(state_db_count(state, "SELECT count(*) FROM backup.once"), 2);
    assert_string_equal(
        state_db_sql(state, "SELECT tableowner FROM pg_tables WHERE tablename = 'once'"),
        "holdfast_owner");
    /* An older program beside a newer database is accepted. */
    must(migrate(arena, "once", steps, 1));
}

static void test_migrate__edited_one_is_refused(void **unused)
{
    static const struct db_migration shipped[] = {{1, "first", "CREATE TABLE edited (n int)"}};
    static const struct db_migration edited[] = {{1, "first", "CREATE TABLE edited (n bigint)"}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1024 * 1024);

    (void)unused;
    must(migrate(arena, "edited", shipped, 1));
    struct hf_status status = migrate(arena, "edited", edited, 1);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_string_equal(status.info->reason, "MIGRATION_EDITED");
    assert_non_null(strstr(status.message, "backup/edited/0001_first"));
}

static void test_migrate__failed_one_leaves_nothing(void **unused)
{
    static const struct db_migration bad[] = {
        {1, "bad", "CREATE TABLE half (n int); SELECT nonsense"}};
    static const struct db_migration good[] = {{1, "bad", "CREATE TABLE half (n int)"}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1024 * 1024);

    (void)unused;
    assert_false(hf_is_ok(migrate(arena, "half", bad, 1)));
    assert_int_equal(
        state_db_count(state, "SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), 0);
    must(migrate(arena, "half", good, 1));
}

static void migrate_together(void *arg)
{
    static const struct db_migration steps[] = {
        {1, "first", "CREATE TABLE together (n int); SELECT pg_sleep(0.2)"},
        {2, "second", "INSERT INTO together VALUES (2)"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1024 * 1024);

    (void)arg;
    must(migrate(arena, "together", steps, HF_LEN(steps)));
}

static void test_migrate__processes_that_start_together_take_turns(void **unused)
{
    struct hf_thread *threads[4];

    (void)unused;
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        threads[i] = hf_thread_start("migrate", migrate_together, NULL);
    }
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        hf_thread_join(threads[i]);
    }
    assert_int_equal(state_db_count(state, "SELECT count(*) FROM backup.together"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migrate__applies_each_once_as_the_owner),
        cmocka_unit_test(test_migrate__edited_one_is_refused),
        cmocka_unit_test(test_migrate__failed_one_leaves_nothing),
        cmocka_unit_test(test_migrate__processes_that_start_together_take_turns),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
