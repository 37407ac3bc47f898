/* A restore whose party went away or was cancelled: its row follows its job. */
#include "backup/domain/names.h"
#include "backup/store/restores.h"
#include "backup/work/work.h"

struct hf_status work_restore_end(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                  void *app)
{
    struct resource_name name;
    struct restore_row row;

    (void)app;
    if (job->state == JOBS_SUCCEEDED) {
        return hf_success(); /* the report that ended it has written the row */
    }
    if (!hf_is_ok(name_parse(ctx->arena, "target", job->target, NAME_RESTORE, &name))) {
        return hf_success(); /* no row can follow; the job ends all the same */
    }
    struct hf_status found = restores_get(ctx, tx, name.cluster, name.id, &row);

    if (found.code == HF_NOT_FOUND) {
        return hf_success();
    }
    HF_TRY(found);
    row.state = job->state == JOBS_CANCELLED ? "CANCELLED" : "FAILED";
    row.error_code = job->error.code == HF_OK ? "" : hf_code_name(job->error.code);
    row.error_message = job->error.message;
    row.error_reason = job->error.reason;
    struct hf_status status = restores_report(ctx, tx, &row);

    return status.code == HF_FAILED_PRECONDITION ? hf_success() : status;
}
