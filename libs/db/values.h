/* Bound parameters and the values of rows. Included by db/db.h. */
#ifndef HF_DB_VALUES_H
#define HF_DB_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct db_rows;

/* A bound parameter; make it with the macros below. Types come from the statement. */
enum db_kind { DB_KIND_TEXT, DB_KIND_INT, DB_KIND_BOOL, DB_KIND_TIME, DB_KIND_BYTES, DB_KIND_LIST };

struct db_param {
    enum db_kind kind;
    const void *ptr; /* text, bytes, or array of texts */
    size_t len;      /* of bytes or of the array */
    int64_t number;
};

#define DB_TEXT(text) ((struct db_param){DB_KIND_TEXT, (text), 0, 0}) /* NULL is SQL null */
#define DB_UUID(text) DB_TEXT(text)
#define DB_JSON(text) DB_TEXT(text)
#define DB_INT(value) ((struct db_param){DB_KIND_INT, NULL, 0, (int64_t)(value)})
#define DB_BOOL(value) ((struct db_param){DB_KIND_BOOL, NULL, 0, (value) ? 1 : 0})
/* timestamptz from µs since 1970; 0 is SQL null, INT64_MAX is infinity. Outside the years 1..9999
 * the statement is INVALID_ARGUMENT. */
#define DB_TIME(time_us) ((struct db_param){DB_KIND_TIME, NULL, 0, (time_us)})
/* bytea; ptr NULL is SQL null. */
#define DB_BYTES(ptr, len) ((struct db_param){DB_KIND_BYTES, (ptr), (len), 0})
/* text[], uuid[], bigint[] … from an array of len texts (a NULL item is SQL null). */
#define DB_LIST(texts, len) ((struct db_param){DB_KIND_LIST, (texts), (len), 0})
#define DB_NULL ((struct db_param){DB_KIND_TEXT, NULL, 0, 0})

/* DB_ARGS(DB_TEXT(a), DB_INT(b)): the two arguments params and params_len. */
#define DB_ARGS(...)                                                                               \
    (const struct db_param[]){__VA_ARGS__},                                                        \
        sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param)
#define DB_NO_ARGS NULL, 0

/* Typed getters; row and column must exist (a bug aborts). */
size_t db_len(const struct db_rows *rows);
int64_t db_affected(const struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, size_t row, size_t column);
const char *db_text(const struct db_rows *rows, size_t row, size_t column); /* NULL: null */
/* 0: null. What no int64_t can hold is the nearer end. */
int64_t db_int(const struct db_rows *rows, size_t row, size_t column);
bool db_bool(const struct db_rows *rows, size_t row, size_t column); /* false: null */
/* timestamptz as µs since 1970; 0: null; INT64_MAX: infinity; outside the years 1..9999 the nearer
 * end. */
int64_t db_time(const struct db_rows *rows, size_t row, size_t column);
/* bytea; ptr NULL: null. In the arena of the query. */
struct hf_bytes db_bytes(const struct db_rows *rows, size_t row, size_t column);

#endif
