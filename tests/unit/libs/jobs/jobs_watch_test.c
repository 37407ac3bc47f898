/* Watches: the first state, every change, the end; and a hub without workers. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "tests/unit/libs/jobs/jobs_fixture.h"
#include "tests/unit/unit.h"

struct seen {
    struct hf_lock seen_lock; /* guards: */
    enum jobs_state states[10];
    char phases[10][16];
    size_t len;
};

static struct jobs_fixture *fix;
static struct jobs *api; /* another process's hub, without workers */

static int group_setup(void **unused)
{
    (void)unused;
    fix = jobs_fixture_new(false);
    jobs_fixture_start(fix, "one");
    struct jobs_options options = jobs_fixture_options(fix, "api");
    options.is_worker = false;
    api = jobs_new(&options);
    must(jobs_start(&fix->ctx, api));
    return 0;
}

static int group_teardown(void **unused)
{
    (void)unused;
    jobs_free(api);
    jobs_fixture_free(fix);
    return 0;
}

static bool see(const struct jobs_job *job, struct hf_status status, void *arg)
{
    struct seen *seen = arg;

    HF_CHECK(hf_is_ok(status) && job != NULL);
    hf_lock_take(&seen->seen_lock);
    HF_CHECK(seen->len < HF_LEN(seen->states));
    seen->states[seen->len] = job->state;
    memcpy(seen->phases[seen->len++], job->phase, strlen(job->phase) + 1);
    hf_lock_wake(&seen->seen_lock);
    hf_lock_release(&seen->seen_lock);
    return !jobs_is_ended(job->state);
}

static void await_end(struct seen *seen)
{
    int64_t until_us = in_ms(10000);

    hf_lock_take(&seen->seen_lock);
    while (seen->len == 0 || !jobs_is_ended(seen->states[seen->len - 1])) {
        hf_lock_wait(&seen->seen_lock, 100);
        HF_CHECK(hf_mono_us() < until_us);
    }
    hf_lock_release(&seen->seen_lock);
}

static bool has_phase(const struct seen *seen, const char *phase)
{
    for (size_t i = 0; i < seen->len; i++) {
        if (strcmp(seen->phases[i], phase) == 0) {
            return true;
        }
    }
    return false;
}

static void watch_progress(struct jobs *hub)
{
    struct seen seen = {.len = 0};
    struct jobs_watch *watch = NULL;
    const struct jobs_watcher watcher = {see, &seen};

    hf_lock_init(&seen.seen_lock);
    const char *id = jobs_fixture_add(fix, "work", "progress");
    must(jobs_watch_open(&fix->ctx, hub, fix->state->tenant, id, &watcher, &watch));
    await_end(&seen);
    jobs_unwatch(watch);
    assert_int_equal(seen.states[seen.len - 1], JOBS_SUCCEEDED);
    assert_true(has_phase(&seen, "copying"));
    assert_true(has_phase(&seen, "closing"));
    hf_lock_done(&seen.seen_lock);
}

static void test_watch__sees_progress_and_end(void **unused)
{
    (void)unused;
    watch_progress(fix->jobs);
}

static void test_watch__works_in_another_process_without_workers(void **unused)
{
    (void)unused;
    watch_progress(api);
}

static void test_watch__ended_job_is_told_once(void **unused)
{
    struct seen seen = {.len = 0};
    struct jobs_watch *watch = NULL;
    const struct jobs_watcher watcher = {see, &seen};

    (void)unused;
    hf_lock_init(&seen.seen_lock);
    const char *id = jobs_fixture_add(fix, "work", "effect");
    jobs_fixture_await(fix, id, JOBS_SUCCEEDED);
    must(jobs_watch_open(&fix->ctx, fix->jobs, fix->state->tenant, id, &watcher, &watch));
    await_end(&seen);
    pause_ms(400);
    jobs_unwatch(watch);
    assert_int_equal(seen.len, 1);
    hf_lock_done(&seen.seen_lock);
}

static void test_watch__another_tenants_job_is_not_found(void **unused)
{
    struct jobs_watch *watch = NULL;
    const struct jobs_watcher watcher = {see, NULL};

    (void)unused;
    const char *id = jobs_fixture_add(fix, "work", "effect");
    struct hf_status status =
        jobs_watch_open(&fix->ctx, fix->jobs, fix->state->other, id, &watcher, &watch);
    assert_int_equal(status.code, HF_NOT_FOUND);
    status = jobs_watch_open(&fix->ctx, fix->jobs, fix->state->tenant, "x", &watcher, &watch);
    assert_int_equal(status.code, HF_NOT_FOUND);
}

static void test_watch__many_come_and_go(void **unused)
{
    struct seen seen[10];
    struct jobs_watch *watches[10];

    (void)unused;
    const char *id = jobs_fixture_add(fix, "work", "progress");
    for (size_t i = 0; i < HF_LEN(seen); i++) {
        const struct jobs_watcher watcher = {see, &seen[i]};
        seen[i] = (struct seen){.len = 0};
        hf_lock_init(&seen[i].seen_lock);
        must(jobs_watch_open(&fix->ctx, fix->jobs, fix->state->tenant, id, &watcher, &watches[i]));
    }
    for (size_t i = 0; i < HF_LEN(seen); i += 2) {
        jobs_unwatch(watches[i]);
    }
    for (size_t i = 1; i < HF_LEN(seen); i += 2) {
        await_end(&seen[i]);
        jobs_unwatch(watches[i]);
    }
    for (size_t i = 0; i < HF_LEN(seen); i++) {
        hf_lock_done(&seen[i].seen_lock);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch__sees_progress_and_end),
        cmocka_unit_test(test_watch__works_in_another_process_without_workers),
        cmocka_unit_test(test_watch__ended_job_is_told_once),
        cmocka_unit_test(test_watch__another_tenants_job_is_not_found),
        cmocka_unit_test(test_watch__many_come_and_go),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
