/* A new lineage of WAL in a source's journal. */
#ifndef HF_BACKUP_LINEAGE_H
#define HF_BACKUP_LINEAGE_H

#include "backup/source/receiver.h"
#include "backup/source/source.h"

/* Append it to the journal, or find the one that an earlier try began; its name in ctx->arena or
 * the state. The catalogue does not know of it yet. */
struct hf_status lineage_begin(struct hf_ctx *ctx, const struct source *source,
                               struct vault_source_state *state, const struct receiver_fork *fork,
                               const char **ret_lineage) HF_MUST_USE;

#endif
