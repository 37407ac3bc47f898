/* Waiting for libpq with deadline and cancellation. Inside libs/db only. */
#ifndef HF_DB_WAIT_H
#define HF_DB_WAIT_H

#include "db/conn.h"

/* Finish a started connection. */
struct hf_status db_wait_connect(struct hf_ctx *ctx, PGconn *pg) HF_MUST_USE;

/* Collect all results of what was sent; the last one, or the first error as a status. When ctx or
 * its memory ends, the statement is cancelled at the server, which may take 2 s more, and the
 * connection is broken. */
struct hf_status db_wait_result(struct hf_ctx *ctx, struct db_conn *conn,
                                PGresult **ret_result) HF_MUST_USE;
/* The same for one statement in single-row mode: its rows are added to rows. */
struct hf_status db_wait_rows(struct hf_ctx *ctx, struct db_conn *conn,
                              struct db_rows *rows) HF_MUST_USE;

#endif
