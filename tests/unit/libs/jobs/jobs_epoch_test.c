/* The state epoch rises exactly when the database is another or an older one. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "jobs/internal.h"
#include "tests/unit/libs/db/state_db.h"
#include "tests/unit/unit.h"

static struct state_db *state;
static struct hf_arena *arena;
static struct hf_ctx ctx;
static char *dir;

static int setup(void **unused)
{
    char root[] = "/tmp/hf-epoch-XXXXXX";

    (void)unused;
    state = state_db_new();
    arena = hf_arena_new((size_t)16 * 1024 * 1024);
    ctx = (struct hf_ctx){.arena = arena, .deadline_us = in_ms(60000)};
    dir = hf_strdup(arena, mkdtemp(root));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    (void)hf_is_ok(hf_remove_tree(arena, dir));
    hf_arena_free(arena);
    state_db_free(state);
    return 0;
}

static int64_t establish(const char *path)
{
    int64_t epoch = 0;

    must(jobs_epoch_establish(&ctx, state->dispatch, path, &epoch));
    return epoch;
}

static void test_epoch__stays_over_restarts(void **unused)
{
    const char *path = hf_path_join(arena, dir, "epoch");

    (void)unused;
    assert_int_equal(establish(path), 1);
    must(jobs_epoch_advance(&ctx, state->dispatch, path, 1));
    assert_int_equal(establish(path), 1);
    pgserver_stop(state->server);
    pgserver_start(state->server);
    assert_int_equal(establish(path), 1);
}

static void test_epoch__rises_when_the_database_is_older_than_the_file(void **unused)
{
    const char *path = hf_path_join(arena, dir, "epoch");

    (void)unused;
    establish(path);
    for (int i = 0; i < 5; i++) {
        must(jobs_epoch_advance(&ctx, state->dispatch, path, 1));
    }
    state_db_sql(state, "UPDATE backup.state_epoch SET counter = 3");
    assert_int_equal(establish(path), 2);
    assert_int_equal(establish(path), 2);
    assert_int_equal(jobs_epoch_advance(&ctx, state->dispatch, path, 1).code, HF_ABORTED);
}

static void test_epoch__rises_when_the_database_was_promoted(void **unused)
{
    (void)unused;
    establish(NULL);
    state_db_sql(state, "UPDATE backup.state_epoch SET timeline = timeline + 1");
    assert_int_equal(establish(NULL), 2);
    state_db_sql(state, "UPDATE backup.state_epoch SET system_id = 'another'");
    assert_int_equal(establish(NULL), 3);
}

static void put(const char *path, const char *text)
{
    must(hf_replace_file(arena, path, text, strlen(text), 0600));
}

static const char *get(const char *path)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 256);
    return hf_is_ok(hf_read_file(arena, path, &text)) ? hf_strdup(arena, hf_buf_text(&text)) : "";
}

/* As a crash between its steps leaves it, too: the file is in both places. */
static void test_epoch__is_carried_and_the_later_stands(void **unused)
{
    static const char two[] = "holdfast-epoch 1 2 5\n";
    static const char later[] = "holdfast-epoch 1 2 6\n";
    const char *from = hf_path_join(arena, dir, "old");
    const char *to = hf_path_join(arena, dir, "epoch");

    (void)unused;
    must(jobs_epoch_carry(&ctx, from, to));
    assert_false(hf_path_exists(to));
    put(from, two);
    must(jobs_epoch_carry(&ctx, from, to));
    assert_string_equal(get(to), two);
    assert_false(hf_path_exists(from));
    put(from, later);
    must(jobs_epoch_carry(&ctx, from, to));
    assert_string_equal(get(to), later);
    put(from, two);
    must(jobs_epoch_carry(&ctx, from, to));
    assert_string_equal(get(to), later);
    assert_false(hf_path_exists(from));
    put(from, "nonsense");
    assert_int_equal(jobs_epoch_carry(&ctx, from, to).code, HF_INTERNAL);
    assert_true(hf_path_exists(from));
}

static void test_epoch__damaged_file_is_refused(void **unused)
{
    const char *path = hf_path_join(arena, dir, "epoch");
    int64_t epoch = 0;

    (void)unused;
    must(hf_replace_file(arena, path, "nonsense", 8, 0600));
    assert_int_equal(jobs_epoch_establish(&ctx, state->dispatch, path, &epoch).code, HF_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_epoch__stays_over_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epoch__rises_when_the_database_is_older_than_the_file,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_epoch__rises_when_the_database_was_promoted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_epoch__damaged_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epoch__is_carried_and_the_later_stands, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
