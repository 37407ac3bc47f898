/* What becomes of a job: pure decisions. Inside libs/jobs only. */
#ifndef HF_JOBS_JUDGE_H
#define HF_JOBS_JUDGE_H

#include "jobs/types.h"

enum jobs_move {
    JOBS_MOVE_NONE, /* the job is another's now */
    JOBS_MOVE_END,  /* to state, with error */
    JOBS_MOVE_BACK  /* to pending */
};

struct jobs_verdict {
    enum jobs_move move;
    enum jobs_state state;
    struct jobs_error error;
    int delay_ms;       /* of MOVE_BACK */
    bool is_free;       /* of MOVE_BACK: the attempt is not spent */
    bool is_observe;    /* of MOVE_BACK */
    const char *result; /* of MOVE_END; NULL: unchanged */
};

/* What became of a run, besides its status. */
struct jobs_signs {
    bool is_lost;             /* fence or lease gone */
    bool is_cancel_requested; /* by jobs_cancel */
    bool is_stopping;         /* this process drains */
    bool is_deferred;
    bool is_overdue; /* past its deadline */
    int defer_ms;
};

struct jobs_verdict jobs_judge_run(const struct jobs_job *job, struct hf_status status,
                                   const struct jobs_signs *signs, int retry_base_ms,
                                   uint32_t dice);
/* Its worker is dead, or its external client has gone quiet. */
struct jobs_verdict jobs_judge_dead(const struct jobs_job *job);
/* min(base × 2^(attempt-1), 5 min), between 1/2 and 3/2 of it by dice. */
int jobs_backoff_ms(int base_ms, int attempt, uint32_t dice);
bool jobs_is_retryable(enum hf_code code);
/* The refusal of jobs_fenced. */
bool jobs_is_fenced(struct hf_status status);

#endif
