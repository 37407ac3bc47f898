/* The one row that says which vault is ours. */
#include "backup/store/vaults.h"

#include "backup_queries.h"

struct hf_status vaults_pinned(struct hf_ctx *ctx, struct db_tx *tx, const char **ret_id)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_vault_pinned, DB_NO_ARGS, &rows));
    *ret_id = db_len(rows) == 0 ? NULL : db_text(rows, 0, 0);
    return hf_success();
}

struct hf_status vaults_pin(struct hf_ctx *ctx, struct db_tx *tx, const char *id)
{
    return db_exec(ctx, tx, sql_vault_pin, DB_ARGS(DB_UUID(id)), NULL);
}
