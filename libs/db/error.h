/* From SQLSTATE to a status. Inside libs/db only. */
#ifndef HF_DB_ERROR_H
#define HF_DB_ERROR_H

#include <libpq-fe.h>

#include "base/ctx.h"
#include "base/status.h"

/* Status of a failed result (never OK). */
struct hf_status db_error_of(struct hf_arena *arena, const PGresult *result);
/* UNAVAILABLE with the connection's own words. */
struct hf_status db_error_lost(struct hf_arena *arena, const PGconn *pg);

#endif
