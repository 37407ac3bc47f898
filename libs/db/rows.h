/* Results as copied rows. Inside libs/db only. */
#ifndef HF_DB_ROWS_H
#define HF_DB_ROWS_H

#include <libpq-fe.h>

#include "db/db.h"

/* Copy a result of text format; bytea columns are decoded.
 * Errors   RESOURCE_EXHAUSTED when the arena is full. */
struct hf_status db_rows_of(struct hf_arena *arena, PGresult *result,
                            const struct db_rows **ret_rows) HF_MUST_USE;

#endif
