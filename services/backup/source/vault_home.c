/* Is it our vault? The surprise: an empty directory is an answer "no" as good as another vault.
 * What would be begun there has none of the points that the catalogue promises. */
#include "backup/source/vault_home.h"

#include "backup/store/vaults.h"
#include "base/fd.h"
#include "base/str.h"
#include "vault/marker.h"

static struct hf_status load_pinned(struct hf_ctx *ctx, struct db *dispatch_db, const char **ret_id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, dispatch_db, &tx));
    HF_TRY(vaults_pinned(ctx, tx, ret_id));
    return db_tx_commit(ctx, &tx);
}

/* Of two processes that start at once, over two directories, one was first. */
static struct hf_status pin(struct hf_ctx *ctx, const struct backup_app *app, const char *id,
                            const char **ret_id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, app->dispatch_db, &tx));
    HF_TRY(vaults_pin(ctx, tx, id));
    HF_TRY(db_tx_commit(ctx, &tx));
    return load_pinned(ctx, app->dispatch_db, ret_id);
}

static struct hf_status missing(struct hf_ctx *ctx, const char *dir, const char *pinned)
{
    const char *const metadata[] = {"directory", dir, "vault", pinned, NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "VAULT_MISSING", metadata,
                        "there is no vault in %s, but this installation keeps its backups in vault "
                        "%s: mount its disk, or put it back from a copy; a vault that is lost for "
                        "good is not replaced by an empty one: start a new installation then",
                        dir, pinned);
}

static struct hf_status changed(struct hf_ctx *ctx, const char *dir, const char *pinned,
                                const char *found)
{
    const char *const metadata[] = {"directory", dir, "vault", pinned, "found", found, NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "VAULT_CHANGED", metadata,
                        "%s has vault %s, but this installation keeps its backups in vault %s: "
                        "mount that one; to go on with the other, start a new installation over it "
                        "and run `holdfast catalog rebuild`",
                        dir, found, pinned);
}

struct hf_status vault_home_check(struct hf_ctx *ctx, struct db *dispatch_db, const char *dir)
{
    const char *pinned = NULL;

    return hf_path_exists(dir) || !hf_is_ok(load_pinned(ctx, dispatch_db, &pinned)) ||
                   pinned == NULL
               ? hf_success()
               : missing(ctx, dir, pinned);
}

struct hf_status vault_home_open(struct hf_ctx *ctx, const struct backup_app *app, const char *dir)
{
    const char *pinned = NULL;
    struct vault_marker marker;

    HF_TRY(load_pinned(ctx, app->dispatch_db, &pinned));
    if (pinned == NULL) {
        HF_TRY(vault_create(ctx, app->vault));
    }
    struct hf_status status = vault_check(ctx, app->vault, &marker);

    if (status.code == HF_NOT_FOUND && pinned != NULL) {
        return missing(ctx, dir, pinned);
    }
    HF_TRY(status);
    if (pinned == NULL) {
        HF_TRY(pin(ctx, app, marker.id, &pinned));
    }
    return hf_text_equal(pinned, marker.id) ? hf_success() : changed(ctx, dir, pinned, marker.id);
}
