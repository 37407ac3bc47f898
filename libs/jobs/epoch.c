/* The state epoch: the first half of every fence. It rises when the database is seen to be another
 * one, or an older one, than that which issued the last fences: its timeline or system identifier
 * changed (restored or promoted), or the counter in the file is ahead of it (its files were put
 * back). The database commits first, so that the file is never ahead without a reason. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "jobs/internal.h"

struct mark {
    int64_t epoch;
    int64_t counter;
};

static struct hf_status read_mark(struct hf_ctx *ctx, const char *path, struct mark *ret_mark)
{
    static const char head[] = "holdfast-epoch 1 ";
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    char *rest = NULL;

    *ret_mark = (struct mark){0, 0};
    if (path == NULL || !hf_path_exists(path)) {
        return hf_success();
    }
    hf_buf_init(&buf, 256);
    HF_TRY(hf_read_file(ctx->arena, path, &buf));
    const char *text = hf_buf_text(&buf);
    if (hf_has_prefix(text, head)) {
        ret_mark->epoch = strtoll(text + strlen(head), &rest, 10);
        ret_mark->counter = strtoll(rest, &rest, 10);
    }
    if (rest == NULL || *rest != '\n' || ret_mark->epoch <= 0) {
        return hf_fail(ctx->arena, HF_INTERNAL, "%s is damaged; restore it or remove it", path);
    }
    return hf_success();
}

static struct hf_status write_mark(struct hf_ctx *ctx, const char *path, struct mark mark)
{
    if (path == NULL) {
        return hf_success();
    }
    const char *text = hf_printf(ctx->arena, "holdfast-epoch 1 %lld %lld\n", (long long)mark.epoch,
                                 (long long)mark.counter);
    return hf_replace_file(ctx->arena, path, text, strlen(text), 0600);
}

static bool is_behind(struct mark database, struct mark file)
{
    return database.epoch < file.epoch ||
           (database.epoch == file.epoch && database.counter < file.counter);
}

struct hf_status jobs_epoch_carry(struct hf_ctx *ctx, const char *from, const char *to)
{
    struct mark old;
    struct mark own;

    if (!hf_path_exists(from)) {
        return hf_success();
    }
    HF_TRY(read_mark(ctx, from, &old));
    HF_TRY(read_mark(ctx, to, &own));
    if (is_behind(own, old)) {
        HF_TRY(write_mark(ctx, to, old));
    }
    (void)unlink(from); /* one that stays is not later than ours, and thus means nothing */
    return hf_success();
}

static struct hf_status set(struct hf_ctx *ctx, struct db_tx *tx, struct mark mark,
                            const char *system_id, int64_t timeline)
{
    return db_exec(
        ctx, tx, sql_jobs_epoch_set,
        DB_ARGS(DB_INT(mark.epoch), DB_INT(mark.counter), DB_TEXT(system_id), DB_INT(timeline)),
        NULL);
}

static struct hf_status next_mark(struct hf_ctx *ctx, struct db_tx *tx, struct mark file,
                                  struct mark *ret_mark)
{
    const struct db_rows *facts = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_jobs_epoch_facts, DB_NO_ARGS, &facts));
    const char *system_id = db_text(facts, 0, 0);
    int64_t timeline = db_int(facts, 0, 1);
    HF_TRY(db_exec(ctx, tx, sql_jobs_epoch_insert, DB_ARGS(DB_TEXT(system_id), DB_INT(timeline)),
                   NULL));
    HF_TRY(db_query(ctx, tx, sql_jobs_epoch_lock, DB_NO_ARGS, &rows));
    struct mark mark = {db_int(rows, 0, 0), db_int(rows, 0, 1)};
    bool is_other = strcmp(db_text(rows, 0, 2), system_id) != 0 || db_int(rows, 0, 3) != timeline;
    if (is_other || is_behind(mark, file)) {
        mark.epoch = (mark.epoch > file.epoch ? mark.epoch : file.epoch) + 1;
        mark.counter = 0;
    }
    mark.counter++;
    *ret_mark = mark;
    return set(ctx, tx, mark, system_id, timeline);
}

struct hf_status jobs_epoch_establish(struct hf_ctx *ctx, struct db *dispatch_db, const char *path,
                                      int64_t *ret_epoch)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct mark file;
    struct mark mark;

    HF_TRY(read_mark(ctx, path, &file));
    HF_TRY(db_system_begin(ctx, dispatch_db, &tx));
    HF_TRY(next_mark(ctx, tx, file, &mark));
    HF_TRY(db_tx_commit(ctx, &tx));
    HF_TRY(write_mark(ctx, path, mark));
    *ret_epoch = mark.epoch;
    return hf_success();
}

struct hf_status jobs_epoch_advance(struct hf_ctx *ctx, struct db *dispatch_db, const char *path,
                                    int64_t epoch)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_system_begin(ctx, dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_epoch_lock, DB_NO_ARGS, &rows));
    if (db_len(rows) == 0 || db_int(rows, 0, 0) != epoch) {
        return hf_fail(ctx->arena, HF_ABORTED, "the state epoch has risen");
    }
    struct mark mark = {epoch, db_int(rows, 0, 1) + 1};
    HF_TRY(set(ctx, tx, mark, db_text(rows, 0, 2), db_int(rows, 0, 3)));
    HF_TRY(db_tx_commit(ctx, &tx));
    return write_mark(ctx, path, mark);
}
