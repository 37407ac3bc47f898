/* Which vault this installation uses, in PostgreSQL: where a vault is looked for may be a disk that
 * is not mounted. Both in a system transaction of the dispatch role; errors are those of libs/db.
 */
#ifndef HF_BACKUP_STORE_VAULTS_H
#define HF_BACKUP_STORE_VAULTS_H

#include "base/ctx.h"
#include "db/db.h"

/* Its id, NULL before the first use. */
struct hf_status vaults_pinned(struct hf_ctx *ctx, struct db_tx *tx,
                               const char **ret_id) HF_MUST_USE;
/* Remember the id, unless one is remembered already: that one stays. */
struct hf_status vaults_pin(struct hf_ctx *ctx, struct db_tx *tx, const char *id) HF_MUST_USE;

#endif
