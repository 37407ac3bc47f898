/* Results as copied rows. Inside libs/db only. */
#ifndef HF_DB_ROWS_H
#define HF_DB_ROWS_H

#include <libpq-fe.h>

#include "db/db.h"

/* No rows yet. */
struct db_rows *db_rows_new(struct hf_arena *arena);
/* Append what one result of text format holds; bytea columns are decoded. Results of a statement
 * come row by row, so that a huge one never stands in libpq's memory as a whole.
 * Errors   RESOURCE_EXHAUSTED reason RESULT_TOO_LARGE when the arena is full; DATA_LOSS. */
struct hf_status db_rows_add(struct hf_arena *arena, struct db_rows *rows,
                             PGresult *result) HF_MUST_USE;

#endif
