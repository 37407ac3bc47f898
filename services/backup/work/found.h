/* What the vault says of a source and its points, judged before it becomes a row: whoever holds the
 * key may have written anything, and one that cannot be must not keep the others from coming back.
 */
#ifndef HF_BACKUP_WORK_FOUND_H
#define HF_BACKUP_WORK_FOUND_H

#include "backup/store/types.h"
#include "base/arena.h"
#include "vault/journal.h"

/* All of a source that the vault knows, in a row that has the rest. Texts are the state's.
 * Errors   DATA_LOSS names the first value that cannot be; the row is as it was */
struct hf_status found_source(struct hf_arena *arena, const struct vault_source_state *state,
                              struct cluster_row *row) HF_MUST_USE;
/* The same of its point. */
struct hf_status found_point(struct hf_arena *arena, const struct vault_source_state *state,
                             const struct vault_point_info *point,
                             struct backup_row *row) HF_MUST_USE;

#endif
