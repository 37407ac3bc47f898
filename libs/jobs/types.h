/* A job as stored, and the words for its states. Included by jobs/jobs.h. */
#ifndef HF_JOBS_TYPES_H
#define HF_JOBS_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum jobs_state {
    JOBS_WAITING, /* for its parents (after); PENDING on the wire */
    JOBS_PENDING,
    JOBS_RUNNING,
    JOBS_SUCCEEDED,
    JOBS_FAILED,
    JOBS_CANCELLED,
    JOBS_OUTCOME_UNKNOWN,
    JOBS_STATES /* number of states */
};

/* What may be done with a job whose worker died. */
enum jobs_replay {
    JOBS_SAFE,          /* run it again */
    JOBS_OBSERVE_FIRST, /* run it again with is_observe: look at what took effect before acting */
    JOBS_NEVER          /* ends as OUTCOME_UNKNOWN for a person */
};

/* "pending", "running" … as stored; static. */
const char *jobs_state_text(enum jobs_state state);
/* -1 when text is none. */
int jobs_state_parse(const char *text);
bool jobs_is_ended(enum jobs_state state);

/* Fence: (state epoch, n). Whoever finishes must present the pair of its claim. */
struct jobs_fence {
    int64_t epoch;
    int64_t n;
};

struct jobs_error {
    enum hf_code code;   /* HF_OK: none */
    const char *reason;  /* "" when there is none */
    const char *message; /* "" */
};

/* A job as stored. Texts live in the arena of the call; none is NULL but where said. */
struct jobs_job {
    const char *id;        /* UUIDv7 text */
    const char *tenant_id; /* UUID text */
    const char *kind;
    const char *target;    /* resource it works on or makes; "" allowed */
    const char *args;      /* as given; JSON by convention */
    const char *principal; /* who asked: "client/alice" */
    const char *result;    /* as given to finish; "" */
    const char *phase;     /* progress, for a person; "" */
    int64_t done_bytes;
    int64_t total_bytes; /* 0: unknown */
    struct jobs_error error;
    enum jobs_state state;
    enum jobs_replay replay;
    int priority;
    int attempt; /* 1 in the first run */
    int max_attempts;
    bool is_cancel_requested;
    bool is_observe; /* an earlier run may have taken effect: look first */
    bool is_external;
    bool is_damaged; /* its row holds what no release writes; OUTCOME_UNKNOWN, DAMAGED_ROW */
    struct jobs_fence fence;
    int64_t revision; /* grows with every change */
    int64_t create_us;
    int64_t start_us;    /* 0: not yet */
    int64_t end_us;      /* 0: not yet */
    int64_t run_at_us;   /* when a waiting retry is due; 0 when it does not wait for time */
    int64_t deadline_us; /* realtime; 0: none */
};

#endif
