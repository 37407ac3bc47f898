/* Timeline histories: parse, print, paths, reachability. */
#include <string.h>

#include "base/check.h"
#include "pgformat/history.h"
#include "tests/unit/unit.h"

/* As PostgreSQL writes it for timeline 4: two promotions, then one from timeline 3. */
static const char history_4[] = "1\t0/3000148\tno recovery target specified\n"
                                "\n"
                                "2\t0/5000000\tbefore 2026-11-24 03:48:00+00\n"
                                "\n"
                                "3\t0/9000148\tno recovery target specified\n";

static struct pgf_history history_get(struct hf_arena *arena)
{
    struct pgf_history history = {0};

    assert_int_equal(
        pgf_history_parse(arena, 4, (struct hf_str){history_4, strlen(history_4)}, &history).code,
        HF_OK);
    return history;
}

static void test_history__parses_and_prints_the_same(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct pgf_history history = history_get(arena);
    (void)state;

    hf_buf_init(&out, 4096);
    assert_int_equal(history.len, 3);
    assert_int_equal(history.entries[1].timeline, 2);
    assert_int_equal(history.entries[1].switch_lsn, 0x5000000);
    assert_string_equal(history.entries[1].reason, "before 2026-11-24 03:48:00+00");
    pgf_history_print(&history, &out);
    assert_string_equal(hf_buf_text(&out), history_4);
    assert_string_equal(pgf_history_name(0x1A).text, "0000001A.history");
}

static void test_history__refuses_nonsense(void **state)
{
    static const char *const cases[] = {
        "x\t0/3000148\tr\n",  "1\n",         "1\tnothing\tr\n",     "4\t0/3000148\tr\n",
        "5\t0/1\tr\n",        "0\t0/1\tr\n", "2\t0/9\tr\n1\t0/A\n", "1\t0/9\tr\n2\t0/8\tr\n",
        "99999999999\t0/1\n",
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_history history;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct hf_status status = pgf_history_parse(arena, 4, hf_str_of(cases[i]), &history);

        assert_int_equal(status.code, HF_DATA_LOSS);
        assert_non_null(strstr(status.message, "timeline 4"));
    }
    assert_int_equal(pgf_history_parse(arena, 4, HF_STR("1\t0/1\ta\0b\n"), &history).code,
                     HF_DATA_LOSS);
}

static void test_history__skips_comments_and_takes_nothing_for_timeline_1(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_history history;
    (void)state;

    assert_int_equal(pgf_history_parse(arena, 2, HF_STR("# note\n 1 0/28\n"), &history).code,
                     HF_OK);
    assert_int_equal(history.len, 1);
    assert_string_equal(history.entries[0].reason, "");
    assert_int_equal(pgf_history_parse(arena, 1, HF_STR(""), &history).code, HF_OK);
    assert_int_equal(history.len, 0);
    assert_int_equal(pgf_history_timeline_at(&history, 7), 1);
}

static void test_history__knows_the_timeline_of_an_lsn(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_history history = history_get(arena);
    (void)state;

    assert_int_equal(pgf_history_timeline_at(&history, 0x3000147), 1);
    assert_int_equal(pgf_history_timeline_at(&history, 0x3000148), 2);
    assert_int_equal(pgf_history_timeline_at(&history, 0x9000147), 3);
    assert_int_equal(pgf_history_timeline_at(&history, UINT64_MAX), 4);
}

static void test_history__judges_reachability(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_history history = history_get(arena);
    const struct pgf_history_leg *legs = NULL;
    size_t len = 0;
    struct hf_status status;
    (void)state;

    assert_true(pgf_history_reaches(&history, 1, 0x3000148));
    assert_false(pgf_history_reaches(&history, 1, 0x3000149));
    assert_true(pgf_history_reaches(&history, 4, UINT64_MAX));
    assert_false(pgf_history_reaches(&history, 7, 1));
    status = pgf_history_path(arena, &history, 1, 0x3000149, &legs, &len);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_string_equal(status.info->reason, "TIMELINE_UNREACHABLE");
    assert_non_null(strstr(status.message, "0/3000148"));
    status = pgf_history_path(arena, &history, 7, 1, &legs, &len);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
}

static void test_history__lays_out_the_path(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_history history = history_get(arena);
    const struct pgf_history_leg *legs = NULL;
    size_t len = 0;
    (void)state;

    assert_int_equal(pgf_history_path(arena, &history, 2, 0x4000000, &legs, &len).code, HF_OK);
    assert_int_equal(len, 3);
    assert_int_equal(legs[0].timeline, 2);
    assert_int_equal(legs[0].from_lsn, 0x4000000);
    assert_int_equal(legs[0].to_lsn, 0x5000000);
    assert_int_equal(legs[1].timeline, 3);
    assert_int_equal(legs[2].timeline, 4);
    assert_int_equal(legs[2].from_lsn, 0x9000148);
    assert_int_equal(legs[2].to_lsn, UINT64_MAX);
}

static struct pgf_history way(struct hf_arena *arena, uint32_t timeline, const char *text)
{
    struct pgf_history history = {0};

    assert_int_equal(pgf_history_parse(arena, timeline, hf_str_of(text), &history).code, HF_OK);
    return history;
}

static void test_history__follows_what_it_goes_on_from(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    static const struct {
        uint32_t known;
        const char *known_text;
        uint32_t later;
        const char *later_text;
        bool follows;
    } cases[] = {
        {1, "", 2, "1\t0/5000\tx\n", true},
        {1, "", 9, "1\t0/5000\tx\n7\t0/9000\tx\n", true},
        {1, "", 2, "1\t0/5001\tx\n", false}, /* beyond what is known */
        {1, "", 15, "7\t0/100\tx\n", false}, /* from somewhere else */
        {1, "", 15, "", false},
        {1, "", 1, "", false},
        {2, "1\t0/4000\tx\n", 3, "1\t0/4000\tx\n2\t0/5000\tx\n", true},
        {2, "1\t0/4000\tx\n", 3, "1\t0/4001\tx\n2\t0/5000\tx\n", false},
        {2, "1\t0/4000\tx\n", 3, "1\t0/5000\tx\n", false}, /* another child of 1 */
        {2, "1\t0/4000\tx\n", 1, "", false},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pgf_history known = way(arena, cases[i].known, cases[i].known_text);
        struct pgf_history later = way(arena, cases[i].later, cases[i].later_text);

        assert_int_equal(pgf_history_follows(&later, &known, 0x5000), cases[i].follows);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history__parses_and_prints_the_same),
        cmocka_unit_test(test_history__refuses_nonsense),
        cmocka_unit_test(test_history__skips_comments_and_takes_nothing_for_timeline_1),
        cmocka_unit_test(test_history__knows_the_timeline_of_an_lsn),
        cmocka_unit_test(test_history__judges_reachability),
        cmocka_unit_test(test_history__lays_out_the_path),
        cmocka_unit_test(test_history__follows_what_it_goes_on_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
