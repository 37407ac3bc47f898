/* What this service is let to touch. Surprise: the database is asked before anything is
 * confined, because connection strings of earlier releases name files of this machine, and their
 * clusters stream on until they are changed. */
#include "backup/confine.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backup/config.h"
#include "backup/source/vault_home.h"
#include "backup/store/clusters.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "db/db.h"
#include "jobs/worker.h"
#include "pgwire/dsn.h"

#define EPOCH_NAME "epoch"
#define STORED_PATHS_MAX 512
#define STORED_US (5 * HF_US_PER_S)

/* Files that stored connection strings name, and the directories where they are replaced. */
struct stored {
    HF_VEC(const char *) list;
};

static void path_add(struct hf_arena *arena, const char *path, struct stored *stored)
{
    if (stored->list.len < STORED_PATHS_MAX) {
        *HF_VEC_ADD(arena, &stored->list) = path;
    }
}

/* Not "/" or what lies directly below it, by whatever name: too much would be open. */
static void dir_add(struct hf_arena *arena, const char *path, struct stored *stored)
{
    char *found = hf_alloc(arena, PATH_MAX);

    if (realpath(path, found) != NULL && strchr(found + 1, '/') != NULL) {
        path_add(arena, found, stored);
    }
}

static void files_add(struct hf_arena *arena, const char *text, struct stored *stored)
{
    static const char *const keywords[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl"};
    struct pgwire_dsn dsn;
    struct stat found;

    if (!hf_is_ok(pgwire_dsn_parse(arena, text, &dsn))) {
        return;
    }
    for (size_t i = 0; i < HF_LEN(keywords); i++) {
        const char *path = pgwire_dsn_setting(&dsn, keywords[i]);

        if (path != NULL && path[0] == '/') {
            dir_add(arena, hf_path_parent(arena, path), stored);
            if (stat(path, &found) == 0 && S_ISREG(found.st_mode)) {
                path_add(arena, path, stored);
            }
        }
    }
    const char *revoked = pgwire_dsn_setting(&dsn, "sslcrldir");

    if (revoked != NULL && revoked[0] == '/') {
        dir_add(arena, revoked, stored);
    }
}

static struct hf_status stored_read(struct hf_ctx *ctx, struct db *dispatch, struct db *app,
                                    struct stored *stored)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *all = NULL;
    struct cluster_ref *refs = NULL;
    size_t len = 0;

    HF_TRY(db_system_begin(ctx, dispatch, &all));
    HF_TRY(clusters_refs(ctx, all, &refs, &len));
    for (size_t i = 0; i < len; i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        const char *dsn = "";

        HF_TRY(db_tx_begin(ctx, app, refs[i].tenant_id, DB_READ_COMMITTED, &tx));
        HF_TRY(clusters_get_dsn(ctx, tx, refs[i].cluster_id, &dsn));
        files_add(ctx->arena, dsn, stored);
    }
    return hf_success();
}

/* A database that does not answer yet, or has no table yet, names no files. The vault is asked for
 * before its directory is made. */
static struct hf_status stored_add(struct hf_arena *arena, const struct backup_config *config,
                                   struct stored *stored)
{
    const struct db_options options[] = {
        {.conninfo = config->database_dispatch,
         .role = DB_DISPATCH,
         .schema = "backup",
         .application_name = "holdfast-backup-confine"},
        {.conninfo = config->database,
         .role = DB_APP,
         .schema = "backup",
         .application_name = "holdfast-backup-confine"},
    };
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + STORED_US};

    if (hf_text_empty(config->database) || hf_text_empty(config->database_dispatch)) {
        return hf_success();
    }
    HF_CLEANUP(db_free) struct db *dispatch = db_new(&options[0]);
    HF_CLEANUP(db_free) struct db *app = db_new(&options[1]);
    struct hf_status status = stored_read(&ctx, dispatch, app, stored);

    if (!hf_is_ok(status)) {
        hf_info(&ctx, HF_EVENT("confinement.files_unknown"), HF_TEXT("error", status.message));
    }
    return hf_text_empty(config->vault_dir) ? hf_success()
                                            : vault_home_check(&ctx, dispatch, config->vault_dir);
}

/* An earlier release kept it beside the keys, where nothing is written any more. */
static struct hf_status epoch_carry(struct hf_arena *arena, const struct backup_config *config)
{
    struct hf_ctx ctx = {.arena = arena};

    if (hf_text_empty(config->epoch_file) || hf_text_empty(config->vault_key_file)) {
        return hf_success();
    }
    const char *keys = hf_path_parent(arena, config->vault_key_file);
    const char *old = hf_path_join(arena, keys, EPOCH_NAME);

    return hf_text_equal(keys, hf_path_parent(arena, config->epoch_file))
               ? hf_success()
               : jobs_epoch_carry(&ctx, old, config->epoch_file);
}

struct hf_status backup_confine(struct hf_arena *arena, const void *config,
                                struct svc_confine_rules *ret_rules)
{
    const struct backup_config *backup = config;
    const char *const files[] = {
        backup->tls_ca,           backup->tls_cert,           backup->tls_key,
        backup->vault_key_file,   backup->signing_key_file,   backup->escrow_key_file,
        backup->secrets_key_file, backup->metrics_token_file, backup->redis_password_file,
    };
    const char *const dirs[] = {
        backup->vault_dir, backup->cache_dir, backup->run_dir,
        hf_text_empty(backup->epoch_file) ? NULL : hf_path_parent(arena, backup->epoch_file)};
    struct stored stored = {.list = {0}};

    HF_TRY(stored_add(arena, backup, &stored));
    *HF_VEC_ADD(arena, &stored.list) = NULL;
    const struct svc_confine_places places = {
        .files = files,
        .files_len = HF_LEN(files),
        .dirs = dirs,
        .dirs_len = HF_LEN(dirs),
        .more = stored.list.items,
    };

    HF_TRY(svc_confine_to(arena, &places, ret_rules));
    return epoch_carry(arena, backup);
}
