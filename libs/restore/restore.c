/* A restore from its first look at the vault to the last fsync. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "restore/internal.h"

#define WRITTEN_MAX 16 /* directories that a failure names */

static void tell_phase(const struct restore *restore, const char *phase, uint64_t total)
{
    struct restore_progress *progress = restore->options->progress;

    if (progress != NULL) {
        atomic_store(&progress->phase, phase);
        atomic_store(&progress->done_bytes, 0);
        atomic_store(&progress->total_bytes, total);
    }
}

/* --- the story ------------------------------------------------------------------------------ */

static struct hf_status write_all(struct restore *restore, const struct restore_plan *plan,
                                  const struct vault_root *root, struct restore_result *result)
{
    HF_TRY(restore_dir_begin(restore));
    tell_phase(restore, "placing WAL", plan->end_lsn - plan->point->start_lsn);
    HF_TRY(restore_wal_place(restore, plan, &result->wal_bytes));
    tell_phase(restore, "restoring", plan->point->source_bytes);
    HF_TRY(restore_data_run(restore, plan, root, result));
    tell_phase(restore, "syncing", 0);
    return restore_dir_end(restore);
}

/* Where a directory is, without links: chown -R follows none, not even the one it is told. */
static const char *resolved(struct hf_arena *arena, const struct restore_dir *dir)
{
    char *path = hf_alloc(arena, PATH_MAX);
    ssize_t len = readlink(hf_printf(arena, "/proc/self/fd/%d", dir->fd), path, PATH_MAX - 1);

    if (len <= 0 || path[0] != '/') {
        return dir->path;
    }
    path[len] = '\0';
    return path;
}

/* Of a path that was made on the way, the first that was not there. */
static const char *highest_made(struct hf_arena *arena, const struct restore_dir *dir)
{
    const char *path = resolved(arena, dir);
    const char *rest = dir->found.rest;
    size_t first = strcspn(rest, "/");

    return *rest != '\0' && hf_has_suffix(path, rest)
               ? hf_strndup(arena, path, strlen(path) - strlen(rest) + first)
               : path;
}

static void tell_made(const struct restore *restore, struct restore_result *result)
{
    struct hf_arena *arena = restore->ctx->arena;
    HF_VEC(const char *) made = {0};

    for (size_t i = 0; i < restore->dirs.len; i++) {
        const char *path = highest_made(arena, &restore->dirs.items[i]);
        bool is_new = true;

        for (size_t k = 0; k < made.len; k++) {
            is_new = is_new && !hf_text_equal(made.items[k], path);
        }
        if (is_new) {
            *HF_VEC_ADD(arena, &made) = path;
        }
    }
    result->dir = resolved(arena, restore_data_dir(restore));
    result->made = made.items;
    result->made_len = made.len;
}

static struct hf_status run(struct restore *restore, struct restore_result *result)
{
    struct hf_ctx *ctx = restore->ctx;
    const struct restore_options *options = restore->options;
    struct restore_plan plan;
    struct vault_root root;

    tell_phase(restore, "planning", 0);
    HF_TRY(vault_journal_read(ctx, restore->place.store, restore->place.keyring,
                              options->source_prefix, options->expect_head, options->expect_hash,
                              &restore->state));
    HF_TRY(restore_plan_make(restore, &plan));
    HF_TRY(vault_root_open(ctx, &restore->place, plan.point->root, plan.point->root_sha256, &root));
    HF_TRY(restore_dirs_choose(restore, &root));
    HF_TRY(restore_dir_check(restore, &plan));
    result->backup_id = plan.point->id;
    result->timeline = plan.history.timeline;
    result->resolved_lsn = plan.end_lsn;
    result->resolved_time_us =
        plan.seen.is_target_reached ? plan.seen.target_time_us : plan.seen.last_commit_time_us;
    result->proven_time_us = plan.proven_time_us;
    result->server_version = plan.point->server_version;
    HF_TRY(write_all(restore, &plan, &root, result));
    result->uid = restore->uid;
    result->gid = restore->gid;
    tell_made(restore, result);
    result->notes = restore->notes.items;
    result->notes_len = restore->notes.len;
    return hf_success();
}

/* The directories that were filled; each must go before the next attempt. */
static const char *written(const struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *list = "";
    size_t told = 0;

    for (size_t i = 0; i < restore->dirs.len && told < WRITTEN_MAX; i++) {
        const struct restore_dir *dir = &restore->dirs.items[i];

        if (dir->is_ours) {
            list = hf_printf(arena, "%s%s%s", list, told == 0 ? "" : ", ",
                             restore_shown(arena, dir->path));
            told++;
        }
    }
    return told == WRITTEN_MAX ? hf_printf(arena, "%s and others", list) : list;
}

struct hf_status restore_run(struct hf_ctx *ctx, struct objstore *store,
                             const struct vault_keyring *keyring,
                             const struct restore_options *options,
                             struct restore_result *ret_result)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct restore restore = {
        .ctx = ctx,
        .options = options,
        .place = {store, keyring, options->source_prefix},
        .threads = options->threads != 0 ? options->threads : (size_t)(cores < 1 ? 1 : cores),
    };
    struct restore_result result = {0};

    if (options->dir[0] != '/') {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "the directory must be an absolute path");
    }
    struct hf_status status = run(&restore, &result);

    restore_dir_close(&restore);
    if (!hf_is_ok(status) && restore.has_written) {
        return hf_wrap(ctx->arena, status, "what is in %s is incomplete and must be removed",
                       written(&restore));
    }
    HF_TRY(status);
    *ret_result = result;
    return hf_success();
}
