/* The vault of this installation, found where it is configured. */
#ifndef HF_BACKUP_SOURCE_VAULT_HOME_H
#define HF_BACKUP_SOURCE_VAULT_HOME_H

#include "backup/app.h"

/* At the first start make a vault in app->vault, or take the one that is there, and remember it;
 * from then on only that one will do. dir is for messages. At start, before anything else uses it.
 * Errors   FAILED_PRECONDITION VAULT_MISSING (nothing there: a disk that is not mounted?),
 *          VAULT_CHANGED (another vault is there); those of vault_create and libs/db */
struct hf_status vault_home_open(struct hf_ctx *ctx, const struct backup_app *app,
                                 const char *dir) HF_MUST_USE;

/* Before the directory is made: where this installation has a vault already, an empty one in its
 * place only stands in the way of whoever puts it back.
 * Errors   FAILED_PRECONDITION VAULT_MISSING. A database that cannot say yet hinders nobody. */
struct hf_status vault_home_check(struct hf_ctx *ctx, struct db *dispatch_db,
                                  const char *dir) HF_MUST_USE;

#endif
