/* A hub with workers on a private PostgreSQL, with or without a private Redis. What a job of the
 * test kinds does is written in its args. */
#ifndef HF_TESTS_JOBS_FIXTURE_H
#define HF_TESTS_JOBS_FIXTURE_H

#include "jobs/worker.h"
#include "testkit/redisserver.h"
#include "tests/unit/libs/db/state_db.h"

struct jobs_fixture {
    struct state_db *state;
    struct redisserver *redis; /* NULL: none */
    struct hf_arena *arena;
    struct hf_ctx ctx;
    struct jobs *jobs; /* NULL: not started */
};

/* Kinds: "work" (8 slots), "single" (1 slot), "plain" (no hook, 8 slots), "shared" (3 slots,
 * 2 of one tenant), "external".
 * Args: "ok"; "effect" writes a row of table effects with its finish; "fail" INVALID_ARGUMENT;
 * "flaky" UNAVAILABLE until the third attempt; "wait" until cancelled; "slow" 300 ms, then effect;
 * "defer" until table down is empty; "zombie" outlives its lease and then tries to finish;
 * "progress" tells two phases; "flagged" cancels itself and fails at once; "scratch" tells
 * phases that do not live; "poison" has an end that cannot be written; "over" needs
 * more memory than a job may have. Every run adds to table
 * runs, every end hook to table ends. */
struct jobs_fixture *jobs_fixture_new(bool has_redis);
void jobs_fixture_free(struct jobs_fixture *fix);

/* Start a hub called name in this process (defaults: short beats and leases). */
void jobs_fixture_start(struct jobs_fixture *fix, const char *name);
void jobs_fixture_stop(struct jobs_fixture *fix);
/* As new: no hub, no jobs, no workers, epoch 1, Redis running and empty. */
void jobs_fixture_reset(struct jobs_fixture *fix);
/* Options that jobs_fixture_start uses, for tests that make their own hub. */
struct jobs_options jobs_fixture_options(struct jobs_fixture *fix, const char *name);

/* The same as a group's state: with Redis and nothing started; without Redis; with hub "one"
 * started. A test begins with `struct jobs_fixture *fix = *state;`. */
int jobs_fixture_setup(void **state);
int jobs_fixture_setup_plain(void **state);
int jobs_fixture_setup_started(void **state);
int jobs_fixture_teardown(void **state);
/* Before a test: jobs_fixture_reset. */
int jobs_fixture_refresh(void **state);

/* Add a job of the default tenant and ring. */
const char *jobs_fixture_add(struct jobs_fixture *fix, const char *kind, const char *args);
const char *jobs_fixture_add_spec(struct jobs_fixture *fix, const struct jobs_spec *spec);
struct jobs_job jobs_fixture_get(struct jobs_fixture *fix, const char *id);
/* Wait (≤ 20 s) for the state and return the job; aborts when it ends otherwise or not at all. */
struct jobs_job jobs_fixture_await(struct jobs_fixture *fix, const char *id, enum jobs_state state);
/* Rows of a table about the job. */
int64_t jobs_fixture_count(struct jobs_fixture *fix, const char *table, const char *id);

#endif
