/* Rows copied out of libpq's result into the caller's arena, so that nothing has to be cleared and
 * no foreign type leaves this folder. Values come in text format; only bytea is decoded here. */
#include "db/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define BYTEA_OID 17

struct cell {
    const char *ptr; /* NULL: null; NUL-terminated */
    size_t len;
};

struct db_rows {
    size_t len;
    size_t columns;
    int64_t affected;
    struct cell *cells; /* row-major */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x6869" → 2 bytes, in place. False when it is not that form. */
static bool decode_bytea(char *text, size_t *len)
{
    if (*len < 2 || text[0] != '\\' || text[1] != 'x' || *len % 2 != 0) {
        return false;
    }
    size_t count = (*len - 2) / 2;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 + 2 * i]);
        int low = hex_digit(text[3 + 2 * i]);
        if (high < 0 || low < 0) {
            return false;
        }
        text[i] = (char)(high * 16 + low);
    }
    text[count] = '\0';
    *len = count;
    return true;
}

static bool copy_cell(struct hf_arena *arena, const PGresult *result, int row, int column,
                      struct cell *ret_cell)
{
    if (PQgetisnull(result, row, column)) {
        *ret_cell = (struct cell){NULL, 0};
        return true;
    }
    size_t len = (size_t)PQgetlength(result, row, column);
    char *copy = hf_try_alloc(arena, len + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, PQgetvalue(result, row, column), len);
    copy[len] = '\0';
    if (PQftype(result, column) == BYTEA_OID) {
        HF_CHECK(decode_bytea(copy, &len));
    }
    *ret_cell = (struct cell){copy, len};
    return true;
}

struct hf_status db_rows_of(struct hf_arena *arena, PGresult *result,
                            const struct db_rows **ret_rows)
{
    struct db_rows *rows = HF_NEW(arena, struct db_rows);
    size_t cells = (size_t)PQntuples(result) * (size_t)PQnfields(result);
    bool is_whole = true;

    rows->len = (size_t)PQntuples(result);
    rows->columns = (size_t)PQnfields(result);
    rows->affected = strtoll(PQcmdTuples(result), NULL, 10);
    rows->cells = cells == 0 ? NULL : hf_try_alloc(arena, cells * sizeof(struct cell));
    is_whole = cells == 0 || rows->cells != NULL;
    for (size_t i = 0; is_whole && i < cells; i++) {
        is_whole = copy_cell(arena, result, (int)(i / rows->columns), (int)(i % rows->columns),
                             &rows->cells[i]);
    }
    if (!is_whole) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "the result of %zu rows is too large",
                       rows->len);
    }
    *ret_rows = rows;
    return hf_success();
}

static const struct cell *cell_at(const struct db_rows *rows, size_t row, size_t column)
{
    HF_CHECK(row < rows->len && column < rows->columns);
    return &rows->cells[row * rows->columns + column];
}

size_t db_len(const struct db_rows *rows)
{
    return rows->len;
}

int64_t db_affected(const struct db_rows *rows)
{
    return rows->affected;
}

bool db_is_null(const struct db_rows *rows, size_t row, size_t column)
{
    return cell_at(rows, row, column)->ptr == NULL;
}

const char *db_text(const struct db_rows *rows, size_t row, size_t column)
{
    return cell_at(rows, row, column)->ptr;
}

int64_t db_int(const struct db_rows *rows, size_t row, size_t column)
{
    const char *text = db_text(rows, row, column);
    int64_t value = 0;

    HF_CHECK(text == NULL || hf_parse_i64(text, &value));
    return value;
}

bool db_bool(const struct db_rows *rows, size_t row, size_t column)
{
    const char *text = db_text(rows, row, column);
    return text != NULL && text[0] == 't';
}

/* TimeZone is UTC and DateStyle ISO on every connection of ours. */
int64_t db_time(const struct db_rows *rows, size_t row, size_t column)
{
    const char *text = db_text(rows, row, column);
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = NULL;
    int64_t time_us = 0;

    if (text == NULL) {
        return 0;
    }
    if (strcmp(text, "infinity") == 0) {
        return INT64_MAX;
    }
    arena = hf_arena_new(4096);
    HF_CHECK(hf_is_ok(hf_time_parse(arena, text, &time_us)));
    return time_us;
}

struct hf_bytes db_bytes(const struct db_rows *rows, size_t row, size_t column)
{
    const struct cell *cell = cell_at(rows, row, column);
    return (struct hf_bytes){(const uint8_t *)cell->ptr, cell->len};
}
