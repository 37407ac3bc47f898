/* Adding jobs. A parent is share-locked while the child is added, so that it cannot end between the
 * look at its state and the row that makes it count the child down. */
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"

#define ARGS_MAX (64 * 1024)
#define DEFAULT_ATTEMPTS 5
#define PARENTS_MAX 64

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static struct hf_status too_long(struct hf_ctx *ctx, const char *what, const char *text, size_t max)
{
    if (strlen(or_empty(text)) <= max) {
        return hf_success();
    }
    return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s of a job has more than %zu bytes", what,
                   max);
}

static struct hf_status check_spec(struct hf_ctx *ctx, const struct jobs_spec *spec)
{
    struct hf_uuid uuid;

    if (!hf_is_name(spec->kind)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "a job kind must be [a-z][a-z0-9-]{0,39}");
    }
    if (spec->id != NULL && hf_uuid_parse(spec->id, &uuid) != 0) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "a job id must be a UUID");
    }
    if (spec->priority < 0 || spec->priority > 9 || spec->after_len > PARENTS_MAX ||
        spec->max_attempts < 0 || spec->max_attempts > 1000) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "a job has a priority of 0 to 9, at most %d parents and 1000 attempts",
                       PARENTS_MAX);
    }
    HF_TRY(too_long(ctx, "the target", spec->target, 1024));
    HF_TRY(too_long(ctx, "the arguments", spec->args, ARGS_MAX));
    HF_TRY(too_long(ctx, "the principal", spec->principal, 256));
    HF_TRY(too_long(ctx, "the trace", spec->trace, 256));
    return too_long(ctx, "the idempotency key", spec->idem_key, 256);
}

struct parents {
    size_t found;
    size_t open; /* not yet ended */
};

static struct hf_status count_parents(struct hf_ctx *ctx, const struct db_rows *rows,
                                      struct parents *parents)
{
    for (size_t i = 0; i < db_len(rows); i++) {
        int state = jobs_state_parse(db_text(rows, i, 1));
        parents->found++;
        if (state != JOBS_SUCCEEDED && jobs_is_ended((enum jobs_state)state)) {
            return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                           "job %s, which should succeed first, has ended without success",
                           db_text(rows, i, 0));
        }
        parents->open += state == JOBS_SUCCEEDED ? 0 : 1;
    }
    return hf_success();
}

static struct hf_status look_at_parents(struct hf_ctx *ctx, struct db_tx *tx,
                                        const struct jobs_spec *spec, size_t *ret_open)
{
    struct parents parents = {0, 0};
    const struct db_rows *rows = NULL;
    const struct db_param list = DB_LIST(spec->after, spec->after_len);

    *ret_open = 0;
    if (spec->after_len == 0) {
        return hf_success();
    }
    HF_TRY(db_query(ctx, tx, sql_jobs_parents_lock, &list, 1, &rows));
    HF_TRY(count_parents(ctx, rows, &parents));
    HF_TRY(db_query(ctx, tx, sql_jobs_parents_archived, &list, 1, &rows));
    HF_TRY(count_parents(ctx, rows, &parents));
    if (parents.found != spec->after_len) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "a job that should succeed first was not found");
    }
    *ret_open = parents.open;
    return hf_success();
}

/* Ended parents count nothing down any more, so only the open ones get a row. */
static struct hf_status add_deps(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_spec *spec,
                                 const char *id)
{
    const struct db_rows *rows = NULL;
    const char *open[PARENTS_MAX];
    size_t open_len = 0;

    HF_TRY(db_query(ctx, tx, sql_jobs_parents_lock, DB_ARGS(DB_LIST(spec->after, spec->after_len)),
                    &rows));
    for (size_t i = 0; i < db_len(rows); i++) {
        if (!jobs_is_ended((enum jobs_state)jobs_state_parse(db_text(rows, i, 1)))) {
            open[open_len++] = db_text(rows, i, 0);
        }
    }
    return db_exec(ctx, tx, sql_jobs_deps_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id), DB_LIST(open, open_len)), NULL);
}

static struct hf_status insert(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_spec *spec,
                               const char *id, size_t open_parents)
{
    const char *state = jobs_state_text(open_parents > 0 ? JOBS_WAITING : JOBS_PENDING);

    HF_TRY(db_exec(ctx, tx, sql_jobs_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id), DB_TEXT(spec->kind),
                           DB_TEXT(or_empty(spec->target)), DB_TEXT(or_empty(spec->args)),
                           DB_TEXT(or_empty(spec->principal)), DB_TEXT(or_empty(spec->trace)),
                           DB_INT(spec->priority), DB_TEXT(jobs_replay_text(spec->replay)),
                           DB_INT(spec->max_attempts == 0 ? DEFAULT_ATTEMPTS : spec->max_attempts),
                           DB_TIME(spec->deadline_us), DB_INT(spec->external_ttl_s), DB_TEXT(state),
                           DB_INT(open_parents), DB_TIME(spec->run_at_us)),
                   NULL));
    if (open_parents > 0) {
        return add_deps(ctx, tx, spec, id);
    }
    return db_exec(ctx, tx, sql_jobs_ring, DB_ARGS(DB_UUID(id)), NULL);
}

/* ret_id stays NULL when the key is new. */
static struct hf_status take_key(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_spec *spec,
                                 const char *id, const char **ret_id)
{
    const struct db_rows *rows = NULL;
    int64_t affected = 0;

    HF_TRY(db_exec(ctx, tx, sql_jobs_key_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(spec->kind), DB_TEXT(spec->idem_key),
                           DB_UUID(id)),
                   &affected));
    if (affected == 1) {
        return hf_success();
    }
    HF_TRY(db_query(ctx, tx, sql_jobs_key_get,
                    DB_ARGS(DB_TEXT(spec->kind), DB_TEXT(spec->idem_key)), &rows));
    if (db_len(rows) == 0) {
        return hf_fail(ctx->arena, HF_ABORTED, "the job of key %s vanished", spec->idem_key);
    }
    *ret_id = db_text(rows, 0, 0);
    return hf_success();
}

struct hf_status jobs_add(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_spec *spec,
                          const char **ret_id, bool *ret_existed)
{
    const char *id = spec->id;
    const char *known = NULL;
    size_t open_parents = 0;

    HF_CHECK(db_tx_tenant(tx) != NULL);
    HF_TRY(check_spec(ctx, spec));
    if (id == NULL) {
        id = hf_uuid_new_text(ctx->arena, hf_now_us());
    }
    if (spec->idem_key != NULL) {
        HF_TRY(take_key(ctx, tx, spec, id, &known));
    }
    if (known == NULL) {
        HF_TRY(look_at_parents(ctx, tx, spec, &open_parents));
        HF_TRY(insert(ctx, tx, spec, id, open_parents));
    }
    *ret_id = known == NULL ? id : known;
    if (ret_existed != NULL) {
        *ret_existed = known != NULL;
    }
    return hf_success();
}
