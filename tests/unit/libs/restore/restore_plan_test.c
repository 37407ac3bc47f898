/* Which point, which timeline, which end: judged over WAL made here. */
#include "tests/unit/libs/restore/restore_fixture.h"

/* Two points; commits at 100, 200, 300 s around and after them, a restore point between the last
 * two, proven complete up to 400 s. */
struct scene {
    struct house h;
    uint64_t commits[4];
    uint64_t name_lsn;
};

static void scene_make(struct scene *s, struct fixture *f, int64_t proven_us)
{
    struct house *h = &s->h;

    house_init(h, f);
    filler_put(&h->wal, 100);
    uint64_t start1 = h->wal.lsn;

    s->commits[0] = commit_put(&h->wal, 10, T(50)); /* while the first backup ran */
    filler_put(&h->wal, 100);
    uint64_t stop1 = h->wal.lsn;

    s->commits[1] = commit_put(&h->wal, 11, T(100));
    filler_put(&h->wal, 100);
    uint64_t start2 = h->wal.lsn;

    filler_put(&h->wal, 100);
    uint64_t stop2 = h->wal.lsn;

    s->commits[2] = commit_put(&h->wal, 13, T(200));
    s->name_lsn = restore_point_put(&h->wal, "before drop", T(250));
    s->commits[3] = commit_put(&h->wal, 12, T(300));
    house_point(h, "b1", start1, stop1, T(60));
    house_point(h, "b2", start2, stop2, T(160));
    house_stream(h, proven_us);
}

static void test_plan__takes_the_newest_point_before_the_target(void **state)
{
    struct scene s;
    const struct {
        struct restore_target target;
        const char *point;
    } cases[] = {
        {{.kind = RESTORE_LATEST}, "b2"},
        {{.kind = RESTORE_IMMEDIATE}, "b2"},
        {{.kind = RESTORE_TIME, .time_us = T(250)}, "b2"},
        {{.kind = RESTORE_TIME, .time_us = T(160)}, "b2"},
        {{.kind = RESTORE_TIME, .time_us = T(159)}, "b1"},
        {{.kind = RESTORE_TIME, .time_us = T(60)}, "b1"},
        {{.kind = RESTORE_XID, .xid = 12}, "b2"},
        {{.kind = RESTORE_XID, .xid = 11}, "b1"},
        {{.kind = RESTORE_NAME, .name = "before drop"}, "b2"},
    };

    scene_make(&s, *state, T(400));
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        const struct restore_options options = {.target = cases[i].target};
        struct restore_plan plan;

        assert_ok(house_plan(&s.h, &options, &plan));
        assert_string_equal(plan.point->id, cases[i].point);
        assert_int_equal(plan.recovery, cases[i].target.kind);
    }
    house_done(&s.h);
}

static void test_plan__takes_an_lsn_from_the_point_that_ends_before_it(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LSN}};
    struct restore_plan plan;

    scene_make(&s, *state, T(400));
    options.target.lsn = s.commits[1];
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_string_equal(plan.point->id, "b1");
    options.target.lsn = s.commits[3];
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_string_equal(plan.point->id, "b2");
    assert_int_equal(plan.seen.target_lsn, s.commits[3]);
    house_done(&s.h);
}

static void test_plan__refuses_a_target_before_the_first_backup_ends(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_TIME, .time_us = T(59)}};
    struct restore_plan plan;
    struct hf_status status;

    scene_make(&s, *state, T(400));
    status = house_plan(&s.h, &options, &plan);
    assert_reason(status, HF_OUT_OF_RANGE, "TARGET_BEFORE_BACKUP");
    assert_non_null(strstr(status.message, hf_time_text(s.h.f->ctx.arena, T(60))));
    options.target = (struct restore_target){.kind = RESTORE_LSN, .lsn = START + 50};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_BEFORE_BACKUP");
    options.target = (struct restore_target){.kind = RESTORE_XID, .xid = 10};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    house_done(&s.h);
}

/* A chosen backup that ended after the target holds later commits already: no recovery could take
 * them out again. */
static void test_plan__refuses_a_target_before_the_chosen_backup_ends(void **state)
{
    struct scene s;
    struct restore_options options = {.backup_id = "b2",
                                      .target = {.kind = RESTORE_TIME, .time_us = T(90)}};
    struct restore_plan plan;
    struct hf_status status;

    scene_make(&s, *state, T(400));
    status = house_plan(&s.h, &options, &plan);
    assert_reason(status, HF_OUT_OF_RANGE, "TARGET_BEFORE_BACKUP");
    assert_non_null(strstr(status.message, hf_time_text(s.h.f->ctx.arena, T(160))));
    options.target = (struct restore_target){.kind = RESTORE_LSN, .lsn = s.commits[1]};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_BEFORE_BACKUP");
    options.target = (struct restore_target){.kind = RESTORE_XID, .xid = 11};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    options.target = (struct restore_target){.kind = RESTORE_TIME, .time_us = T(170)};
    assert_ok(house_plan(&s.h, &options, &plan));
    house_done(&s.h);
}

static void test_plan__goes_to_the_proven_end_for_a_time_after_the_last_commit(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_TIME, .time_us = T(400)}};
    struct restore_plan plan;
    struct hf_status status;

    scene_make(&s, *state, T(400));
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.recovery, RESTORE_LSN);
    assert_int_equal(plan.recovery_lsn, s.commits[3]);
    assert_int_equal(plan.proven_time_us, T(400));
    options.target.time_us = T(401);
    status = house_plan(&s.h, &options, &plan);
    assert_reason(status, HF_OUT_OF_RANGE, "TARGET_AFTER_WAL");
    assert_non_null(strstr(status.message, hf_time_text(s.h.f->ctx.arena, T(400))));
    house_done(&s.h);
}

static void test_plan__proves_nothing_without_a_clock(void **state)
{
    struct scene s;
    const struct restore_options options = {.target = {.kind = RESTORE_TIME, .time_us = T(301)}};
    struct restore_plan plan;

    scene_make(&s, *state, 0);
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_AFTER_WAL");
    house_done(&s.h);
}

static void test_plan__knows_inclusive_from_exclusive(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_TIME, .time_us = T(200)}};
    struct restore_plan plan;

    scene_make(&s, *state, T(400));
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.seen.target_lsn, s.commits[3]); /* the first past it */
    options.target.is_exclusive = true;
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.seen.target_lsn, s.commits[2]); /* the first at or past it */
    house_done(&s.h);
}

static void test_plan__refuses_an_lsn_after_the_wal(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LSN}};
    struct restore_plan plan;

    scene_make(&s, *state, T(400));
    options.target.lsn = s.h.wal.lsn; /* what pg_current_wal_lsn() says of a server at rest */
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.recovery_lsn, s.commits[3]);
    options.target.lsn = s.h.wal.lsn + 100;
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_AFTER_WAL");
    house_done(&s.h);
}

static void test_plan__names_what_it_does_not_know(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_XID, .xid = 99}};
    struct restore_plan plan;

    scene_make(&s, *state, T(400));
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    options.target = (struct restore_target){.kind = RESTORE_NAME, .name = "before"};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    options.target = (struct restore_target){.kind = RESTORE_LATEST};
    options.backup_id = "b9";
    assert_reason(house_plan(&s.h, &options, &plan), HF_NOT_FOUND, "UNKNOWN_BACKUP");
    house_done(&s.h);
}

static void test_plan__refuses_a_name_that_no_restore_point_can_have(void **state)
{
    static const char *const names[] = {
        "", "two\nlines", "a\rb",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    struct scene s;

    scene_make(&s, *state, T(400));
    for (size_t i = 0; i < HF_LEN(names); i++) {
        const struct restore_options options = {.target = {.kind = RESTORE_NAME, .name = names[i]}};
        struct restore_plan plan;

        assert_code(house_plan(&s.h, &options, &plan), HF_INVALID_ARGUMENT);
    }
    house_done(&s.h);
}

static void test_plan__needs_a_point(void **state)
{
    struct house h;
    const struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;

    house_init(&h, *state);
    assert_reason(house_plan(&h, &options, &plan), HF_NOT_FOUND, "NO_POINT");
    house_done(&h);
}

/* --- gaps ------------------------------------------------------------------------------------ */

/* One point whose WAL reaches into the second segment, and a commit in the third. */
static void gap_scene(struct scene *s, struct fixture *f)
{
    struct house *h = &s->h;

    house_init(h, f);
    filler_put(&h->wal, 100);
    uint64_t start = h->wal.lsn;

    filler_put(&h->wal, 700000);
    filler_put(&h->wal, 700000);
    house_point(h, "b1", start, h->wal.lsn, T(60));
    s->commits[0] = commit_put(&h->wal, 11, T(100));
    filler_put(&h->wal, 1000000);
    s->commits[1] = commit_put(&h->wal, 12, T(200));
}

static void test_plan__refuses_a_point_with_a_gap_in_its_own_wal(void **state)
{
    struct scene s;
    const struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;
    struct hf_status status;

    gap_scene(&s, *state);
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "WAL_GAP"); /* all of it */
    house_push(&s.h, 1, START, START + 5000);
    house_push(&s.h, 1, START + 6000, s.h.wal.lsn);
    status = house_plan(&s.h, &options, &plan);
    assert_reason(status, HF_OUT_OF_RANGE, "WAL_GAP");
    assert_non_null(strstr(status.message, pgf_lsn(START + 5000).text));
    house_done(&s.h);
}

static void test_plan__ends_before_a_gap_and_says_so(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    uint64_t gap;
    struct restore_plan plan;

    gap_scene(&s, *state);
    gap = s.commits[0] + 10000;
    house_push(&s.h, 1, START, gap);
    house_push(&s.h, 1, gap + 8192, s.h.wal.lsn);
    options.source_prefix = FIXTURE_SOURCE;
    options.cluster = "orders";
    struct restore restore = house_restore(&s.h, &options);

    assert_ok(restore_plan_make(&restore, &plan));
    assert_int_equal(plan.end_lsn, gap);
    assert_int_equal(restore.notes.len, 1);
    assert_non_null(strstr(restore.notes.items[0], pgf_lsn(gap).text));
    options.target = (struct restore_target){.kind = RESTORE_XID, .xid = 12};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    options.target.xid = 11;
    assert_ok(house_plan(&s.h, &options, &plan));
    house_done(&s.h);
}

/* The newest point lost its WAL: what lies before can still be had from the older one. */
static void test_plan__passes_over_a_point_without_its_wal(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_XID, .xid = 11}};
    struct restore_plan plan;

    gap_scene(&s, *state);
    uint64_t start2 = s.h.wal.lsn;

    filler_put(&s.h.wal, 100);
    house_point(&s.h, "b2", start2, s.h.wal.lsn, T(300));
    house_push(&s.h, 1, START, start2);
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_string_equal(plan.point->id, "b1");
    options.target = (struct restore_target){.kind = RESTORE_LATEST};
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "WAL_GAP");
    house_done(&s.h);
}

static void test_plan__stops_at_wal_of_another_system(void **state)
{
    struct scene s;
    const struct restore_options options = {.target = {.kind = RESTORE_XID, .xid = 12}};
    struct restore_plan plan;

    gap_scene(&s, *state);
    pgf_put_le64(at(&s.h.wal, START + 2 * SEGMENT) + 24, SYSTEM + 1);
    house_push(&s.h, 1, START, s.h.wal.lsn);
    assert_reason(house_plan(&s.h, &options, &plan), HF_OUT_OF_RANGE, "TARGET_NOT_FOUND");
    house_done(&s.h);
}

/* --- timelines ------------------------------------------------------------------------------- */

/* The first point leads to timeline 2, which begins behind it; the second is of the dead branch. */
static void fork_scene(struct scene *s, struct fixture *f)
{
    scene_make(s, f, T(400));
    house_push(&s->h, 2, START, s->h.wal.lsn);
}

static void test_plan__follows_the_newest_timeline(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;

    fork_scene(&s, *state);
    house_history(&s.h, 2, history_line(&s.h, 1, s.commits[1]));
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.history.timeline, 2);
    assert_string_equal(plan.point->id, "b1"); /* b2 ended after the switch */
    assert_int_equal(plan.legs_len, 2);
    assert_int_equal(plan.legs[0].to_lsn, s.commits[1]);
    house_done(&s.h);
}

static void test_plan__takes_the_timeline_that_was_asked_for(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LATEST, .timeline = 1}};
    struct restore_plan plan;

    fork_scene(&s, *state);
    house_history(&s.h, 2, history_line(&s.h, 1, s.commits[1]));
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.history.timeline, 1);
    assert_string_equal(plan.point->id, "b2");
    options.target.timeline = 2;
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_string_equal(plan.point->id, "b1");
    options.backup_id = "b2";
    assert_reason(house_plan(&s.h, &options, &plan), HF_FAILED_PRECONDITION,
                  "TIMELINE_UNREACHABLE");
    options.backup_id = NULL;
    options.target.timeline = 7;
    assert_reason(house_plan(&s.h, &options, &plan), HF_FAILED_PRECONDITION,
                  "TIMELINE_UNREACHABLE");
    house_done(&s.h);
}

/* A chosen backup of a branch that died: it can be restored, to where its branch ended. */
static void test_plan__restores_a_dead_branch_when_asked(void **state)
{
    struct scene s;
    const struct restore_options options = {.backup_id = "b2", .target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;

    fork_scene(&s, *state);
    house_history(&s.h, 2, history_line(&s.h, 1, s.commits[1]));
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_int_equal(plan.history.timeline, 1);
    house_done(&s.h);
}

/* Without the history nobody knows where the timeline began: not falling back in silence. */
static void test_plan__refuses_when_a_history_is_missing(void **state)
{
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;
    struct hf_status status;

    fork_scene(&s, *state);
    status = house_plan(&s.h, &options, &plan);
    assert_code(status, HF_DATA_LOSS);
    assert_non_null(strstr(status.message, "timeline 2"));
    options.target.timeline = 1;
    assert_ok(house_plan(&s.h, &options, &plan));
    house_done(&s.h);
}

/* Timelines are numbers of somebody else: those between them are not looked for one by one. */
static void test_plan__steps_over_billions_of_timelines(void **state)
{
    const uint32_t far = UINT32_MAX - 5;
    struct scene s;
    struct restore_options options = {.target = {.kind = RESTORE_LATEST}};
    struct restore_plan plan;

    scene_make(&s, *state, T(400));
    house_push(&s.h, far, START, s.h.wal.lsn);
    house_history(&s.h, far, history_line(&s.h, 1, START));
    int64_t began_us = hf_mono_us();
    assert_ok(house_plan(&s.h, &options, &plan));
    assert_true(hf_mono_us() - began_us < 20 * HF_US_PER_S);
    assert_int_equal(plan.history.timeline, 1);
    options.backup_id = "b1";
    assert_ok(house_plan(&s.h, &options, &plan));
    house_done(&s.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_plan__takes_the_newest_point_before_the_target),
        fixture_test(test_plan__takes_an_lsn_from_the_point_that_ends_before_it),
        fixture_test(test_plan__refuses_a_target_before_the_first_backup_ends),
        fixture_test(test_plan__refuses_a_target_before_the_chosen_backup_ends),
        fixture_test(test_plan__goes_to_the_proven_end_for_a_time_after_the_last_commit),
        fixture_test(test_plan__proves_nothing_without_a_clock),
        fixture_test(test_plan__knows_inclusive_from_exclusive),
        fixture_test(test_plan__refuses_an_lsn_after_the_wal),
        fixture_test(test_plan__names_what_it_does_not_know),
        fixture_test(test_plan__refuses_a_name_that_no_restore_point_can_have),
        fixture_test(test_plan__needs_a_point),
        fixture_test(test_plan__refuses_a_point_with_a_gap_in_its_own_wal),
        fixture_test(test_plan__ends_before_a_gap_and_says_so),
        fixture_test(test_plan__passes_over_a_point_without_its_wal),
        fixture_test(test_plan__stops_at_wal_of_another_system),
        fixture_test(test_plan__follows_the_newest_timeline),
        fixture_test(test_plan__steps_over_billions_of_timelines),
        fixture_test(test_plan__takes_the_timeline_that_was_asked_for),
        fixture_test(test_plan__restores_a_dead_branch_when_asked),
        fixture_test(test_plan__refuses_when_a_history_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
