/* Restores in PostgreSQL: who brings what back, how far it is. In the caller's transaction. */
#ifndef HF_BACKUP_STORE_RESTORES_H
#define HF_BACKUP_STORE_RESTORES_H

#include "backup/store/types.h"
#include "base/ctx.h"
#include "db/db.h"

struct hf_status restores_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct restore_row *row) HF_MUST_USE;
/* NOT_FOUND reason RESTORE_NOT_FOUND. */
struct hf_status restores_get(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster,
                              const char *id, struct restore_row *ret_row) HF_MUST_USE;
struct restores_query {
    const char *cluster; /* name, "-" for all */
    const char *before;  /* ids below this one, "" from the newest */
    size_t limit;
};
struct hf_status restores_list(struct hf_ctx *ctx, struct db_tx *tx,
                               const struct restores_query *query, struct restore_row **ret_rows,
                               size_t *ret_len) HF_MUST_USE;
/* Progress or end. FAILED_PRECONDITION reason RESTORE_ENDED when it runs no more. */
struct hf_status restores_report(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct restore_row *row) HF_MUST_USE;

#endif
