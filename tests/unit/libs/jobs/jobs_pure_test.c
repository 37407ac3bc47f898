/* Decisions without a database: what becomes of a run, of a dead worker's job, of foreign text. */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "jobs/internal.h"
#include "tests/unit/unit.h"

static struct hf_status failed(enum hf_code code)
{
    return (struct hf_status){.code = code, .message = "why"};
}

struct run_case {
    enum hf_code code;
    int attempt; /* of 3 */
    struct jobs_signs signs;
    enum jobs_move move;
    enum jobs_state state;
    bool is_free;
};

static void test_judge_run__follows_its_table(void **unused)
{
    static const struct run_case cases[] = {
        {HF_OK, 1, {0}, JOBS_MOVE_END, JOBS_SUCCEEDED, false},
        {HF_OK, 1, {.is_lost = true}, JOBS_MOVE_NONE, 0, false},
        {HF_OK, 1, {.is_cancel_requested = true}, JOBS_MOVE_END, JOBS_SUCCEEDED, false},
        {HF_UNAVAILABLE, 1, {0}, JOBS_MOVE_BACK, JOBS_PENDING, false},
        {HF_ABORTED, 2, {0}, JOBS_MOVE_BACK, JOBS_PENDING, false},
        {HF_RESOURCE_EXHAUSTED, 2, {0}, JOBS_MOVE_BACK, JOBS_PENDING, false},
        {HF_DEADLINE_EXCEEDED, 2, {0}, JOBS_MOVE_BACK, JOBS_PENDING, false},
        {HF_UNAVAILABLE, 3, {0}, JOBS_MOVE_END, JOBS_FAILED, false},
        {HF_INVALID_ARGUMENT, 1, {0}, JOBS_MOVE_END, JOBS_FAILED, false},
        {HF_DATA_LOSS, 1, {0}, JOBS_MOVE_END, JOBS_FAILED, false},
        {HF_CANCELLED, 1, {0}, JOBS_MOVE_END, JOBS_FAILED, false},
        {HF_CANCELLED, 1, {.is_cancel_requested = true}, JOBS_MOVE_END, JOBS_CANCELLED, false},
        {HF_UNAVAILABLE, 1, {.is_cancel_requested = true}, JOBS_MOVE_END, JOBS_CANCELLED, false},
        {HF_CANCELLED, 3, {.is_stopping = true}, JOBS_MOVE_BACK, JOBS_PENDING, true},
        {HF_UNAVAILABLE,
         3,
         {.is_deferred = true, .defer_ms = 100},
         JOBS_MOVE_BACK,
         JOBS_PENDING,
         true},
        {HF_UNAVAILABLE, 1, {.is_overdue = true}, JOBS_MOVE_END, JOBS_FAILED, false},
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        const struct jobs_job job = {.id = "x", .attempt = cases[i].attempt, .max_attempts = 3};
        struct jobs_verdict verdict =
            jobs_judge_run(&job, failed(cases[i].code), &cases[i].signs, 1000, 7);
        assert_int_equal(verdict.move, cases[i].move);
        if (verdict.move != JOBS_MOVE_NONE) {
            assert_int_equal(verdict.state, cases[i].state);
            assert_int_equal(verdict.is_free, cases[i].is_free);
        }
    }
}

struct dead_case {
    enum jobs_replay replay;
    int attempt; /* of 2 */
    bool is_cancel_requested;
    bool is_external;
    enum jobs_state state;
    bool is_observe;
};

static void test_judge_dead__follows_the_replay_policy(void **unused)
{
    static const struct dead_case cases[] = {
        {JOBS_SAFE, 1, false, false, JOBS_PENDING, false},
        {JOBS_OBSERVE_FIRST, 1, false, false, JOBS_PENDING, true},
        {JOBS_NEVER, 1, false, false, JOBS_OUTCOME_UNKNOWN, false},
        {JOBS_NEVER, 1, true, false, JOBS_OUTCOME_UNKNOWN, false},
        {JOBS_SAFE, 2, false, false, JOBS_FAILED, false},
        {JOBS_OBSERVE_FIRST, 2, false, false, JOBS_FAILED, false},
        {JOBS_SAFE, 1, true, false, JOBS_CANCELLED, false},
        {JOBS_SAFE, 1, false, true, JOBS_FAILED, false},
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        const struct jobs_job job = {.replay = cases[i].replay,
                                     .attempt = cases[i].attempt,
                                     .max_attempts = 2,
                                     .is_cancel_requested = cases[i].is_cancel_requested,
                                     .is_external = cases[i].is_external};
        struct jobs_verdict verdict = jobs_judge_dead(&job);
        assert_int_equal(verdict.state, cases[i].state);
        assert_int_equal(verdict.is_observe, cases[i].is_observe);
    }
}

static void test_backoff__doubles_within_its_jitter_and_ceiling(void **unused)
{
    (void)unused;
    for (uint32_t dice = 0; dice < 5000; dice += 77) {
        assert_in_range(jobs_backoff_ms(1000, 1, dice), 500, 1500);
        assert_in_range(jobs_backoff_ms(1000, 4, dice), 4000, 12000);
        assert_in_range(jobs_backoff_ms(1000, 1000, dice), 150000, 450000);
    }
}

struct text_case {
    const char *text;
    size_t max;
    const char *clean;
};

static void test_clean__gives_whole_utf8(void **unused)
{
    static const struct text_case cases[] = {
        {"plain", 100, "plain"},
        {"plain", 3, "\xe2\x80\xa6"},
        {"plain", 4, "p\xe2\x80\xa6"},
        {"a\xc3\xa4z", 100, "a\xc3\xa4z"},
        {"a\xc3\xa4zz", 4, "a\xe2\x80\xa6"},
        {"\xff\xfe", 10, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x9f\x90\x99", 10, "\xf0\x9f\x90\x99"},
        {"\xf0\x9f\x90\x99", 3, "\xe2\x80\xa6"},
        {"\xe2\x82", 10, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x1b[2J", 10, "\\x1b[2J"},
        {"", 10, ""},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024);

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_string_equal(jobs_clean(arena, cases[i].text, cases[i].max), cases[i].clean);
    }
}

static void test_gate__lets_one_probe_through_then_doubles(void **unused)
{
    struct jobs_gate *gate = jobs_gate_new();

    (void)unused;
    assert_true(jobs_gate_enter(gate, "a")); /* unknown: open */
    jobs_gate_leave(gate, "a", false, true);
    assert_true(jobs_gate_enter(gate, "a"));
    assert_false(jobs_gate_enter(gate, "a"));
    assert_true(jobs_gate_enter(gate, "b"));
    jobs_gate_leave(gate, "a", true, true); /* the probe found it down */
    assert_true(jobs_gate_enter(gate, "a"));
    assert_false(jobs_gate_enter(gate, "a"));
    jobs_gate_leave(gate, "a", true, false); /* up: two together */
    assert_true(jobs_gate_enter(gate, "a"));
    assert_true(jobs_gate_enter(gate, "a"));
    assert_false(jobs_gate_enter(gate, "a"));
    jobs_gate_free(gate);
}

static void test_host__only_a_proof_makes_it_gone(void **unused)
{
    struct jobs_host us;
    struct jobs_host other;

    (void)unused;
    jobs_host_read(&us);
    assert_true(us.start_ticks > 0 && us.boot_id[0] != '\0' && us.pid_namespace[0] != '\0');
    other = us;
    assert_false(jobs_host_is_gone(&us, &other, true));
    struct rlimit files;
    struct rlimit none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = (struct rlimit){0, files.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0); /* looking fails: that is no proof */
    bool is_gone = jobs_host_is_gone(&us, &other, true);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_false(is_gone);
    other.start_ticks--; /* our number, another process */
    assert_true(jobs_host_is_gone(&us, &other, false));
    other.pid_namespace[0]++; /* cannot be seen from here */
    assert_false(jobs_host_is_gone(&us, &other, true));
    other = us;
    other.boot_id[0]++; /* booted anew: only the same worker's place tells that it is this host */
    assert_true(jobs_host_is_gone(&us, &other, true));
    assert_false(jobs_host_is_gone(&us, &other, false));
    other.host[0]++;
    assert_false(jobs_host_is_gone(&us, &other, true));
}

static void test_state__texts_go_both_ways(void **unused)
{
    (void)unused;
    for (int state = 0; state < JOBS_STATES; state++) {
        assert_int_equal(jobs_state_parse(jobs_state_text((enum jobs_state)state)), state);
    }
    assert_int_equal(jobs_state_parse("nonsense"), -1);
    assert_int_equal(jobs_state_parse(NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge_run__follows_its_table),
        cmocka_unit_test(test_judge_dead__follows_the_replay_policy),
        cmocka_unit_test(test_backoff__doubles_within_its_jitter_and_ceiling),
        cmocka_unit_test(test_clean__gives_whole_utf8),
        cmocka_unit_test(test_gate__lets_one_probe_through_then_doubles),
        cmocka_unit_test(test_host__only_a_proof_makes_it_gone),
        cmocka_unit_test(test_state__texts_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
