/* One connection driven without blocking. Inside libs/db only; one thread at a time. */
#ifndef HF_DB_CONN_H
#define HF_DB_CONN_H

#include <libpq-fe.h>

#include "db/db.h"

#define DB_STATEMENTS_MAX 400

HF_DEFINE_CLEANUP(PGresult *, PQclear)

struct db_tx {
    struct db *db;
    struct db_conn *conn;
    char tenant[40]; /* "" in a system transaction */
};

/* A prepared statement: its address finds it, its hash proves it (an address can be reused). */
struct db_statement {
    const char *sql;
    uint64_t hash;
};

struct db_conn {
    PGconn *pg;
    struct db_conn *next; /* in the idle list */
    struct db_tx tx;      /* the one transaction it can have */
    bool is_broken;       /* to be closed instead of reused */
    size_t statements_len;
    struct db_statement statements[DB_STATEMENTS_MAX]; /* prepared as "s<index>" */
};

/* Connect, apply the settings that the rest of the folder relies on, and check server and role. */
struct hf_status db_conn_open(struct hf_ctx *ctx, const struct db_options *options,
                              struct db_conn **ret_conn) HF_MUST_USE;
void db_conn_close(struct db_conn *conn); /* accepts NULL */
HF_DEFINE_CLEANUP(struct db_conn *, db_conn_close)

/* Simple protocol, several statements allowed; the last result. */
struct hf_status db_conn_simple(struct hf_ctx *ctx, struct db_conn *conn, const char *sql,
                                PGresult **ret_result) HF_MUST_USE;
/* Prepare when new, then run with bound parameters; rows: what it returns is added. */
struct hf_status db_conn_run(struct hf_ctx *ctx, struct db_conn *conn, const char *sql,
                             const struct db_param *params, size_t params_len,
                             struct db_rows *rows) HF_MUST_USE;

#endif
