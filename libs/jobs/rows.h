/* Jobs as rows. Inside libs/jobs only. */
#ifndef HF_JOBS_ROWS_H
#define HF_JOBS_ROWS_H

#include "base/ctx.h"
#include "db/db.h"
#include "jobs/types.h"

/* Row of one of the statements with {head} and {tail}. */
void jobs_decode(const struct db_rows *rows, size_t row, struct jobs_job *ret_job);
/* Deep copy into arena. */
void jobs_copy(struct hf_arena *arena, const struct jobs_job *job, struct jobs_job *ret_job);
/* Text of a replay policy as stored. */
const char *jobs_replay_text(enum jobs_replay replay);
/* Text of foreign origin made fit for a row: at most max bytes, what is not UTF-8 becomes '?'. */
const char *jobs_clean(struct hf_arena *arena, const char *text, size_t max);
const char *jobs_dependency(const struct db_rows *rows, size_t row);
struct hf_status jobs_not_found(struct hf_arena *arena, const char *id) HF_MUST_USE;
struct hf_status jobs_fenced(struct hf_arena *arena, const char *id) HF_MUST_USE;
/* The live row under FOR UPDATE. NOT_FOUND also when it is archived. */
struct hf_status jobs_lock(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                           struct jobs_job *ret_job) HF_MUST_USE;

#endif
