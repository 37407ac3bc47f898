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
    size_t cap;         /* cells */
    size_t base;        /* len before the result that is being added */
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

static struct hf_status too_large(struct hf_arena *arena, const struct db_rows *rows)
{
    return hf_fail_info(arena, HF_RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", NULL,
                        "a result of the state database has more than %zu rows that fit the memory "
                        "of a call",
                        rows->len);
}

static struct hf_status copy_cell(struct hf_arena *arena, const struct db_rows *rows,
                                  const PGresult *result, int column, struct cell *ret_cell)
{
    int row = (int)(rows->len - rows->base);

    if (PQgetisnull(result, row, column)) {
        *ret_cell = (struct cell){NULL, 0};
        return hf_success();
    }
    size_t len = (size_t)PQgetlength(result, row, column);
    char *copy = hf_try_alloc(arena, len + 1);
    if (copy == NULL) {
        return too_large(arena, rows);
    }
    memcpy(copy, PQgetvalue(result, row, column), len);
    copy[len] = '\0';
    if (PQftype(result, column) == BYTEA_OID && !decode_bytea(copy, &len)) {
        return hf_fail(arena, HF_DATA_LOSS, "the state database sent bytes in another form");
    }
    *ret_cell = (struct cell){copy, len};
    return hf_success();
}

/* Cells for one more row; the old ones stay in the arena. */
static bool make_room(struct hf_arena *arena, struct db_rows *rows)
{
    size_t used = rows->len * rows->columns;

    if (used + rows->columns <= rows->cap) {
        return true;
    }
    size_t cap = 2 * rows->cap > used + rows->columns ? 2 * rows->cap : used + rows->columns;
    struct cell *cells = hf_try_alloc(arena, cap * sizeof(struct cell));
    if (cells == NULL) {
        return false;
    }
    if (used > 0) {
        memcpy(cells, rows->cells, used * sizeof(struct cell));
    }
    rows->cells = cells;
    rows->cap = cap;
    return true;
}

static struct hf_status add_row(struct hf_arena *arena, struct db_rows *rows,
                                const PGresult *result)
{
    if (!make_room(arena, rows)) {
        return too_large(arena, rows);
    }
    struct cell *cells = rows->cells + rows->len * rows->columns;
    for (size_t i = 0; i < rows->columns; i++) {
        HF_TRY(copy_cell(arena, rows, result, (int)i, &cells[i]));
    }
    rows->len++;
    return hf_success();
}

struct db_rows *db_rows_new(struct hf_arena *arena)
{
    return HF_NEW(arena, struct db_rows);
}

struct hf_status db_rows_add(struct hf_arena *arena, struct db_rows *rows, PGresult *result)
{
    int len = PQntuples(result);

    rows->columns = (size_t)PQnfields(result);
    rows->affected = strtoll(PQcmdTuples(result), NULL, 10);
    rows->base = rows->len;
    for (int i = 0; i < len; i++) {
        HF_TRY(add_row(arena, rows, result));
    }
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

/* A sum of the server may be larger than any int64_t, or a fraction. */
static int64_t nearest_int(const char *text)
{
    int64_t value = 0;
    size_t whole = strcspn(text, ".");
    char digits[32] = "";

    if (whole < sizeof(digits)) {
        memcpy(digits, text, whole);
    }
    if (hf_parse_i64(digits, &value)) {
        return value;
    }
    return text[0] == '-' ? INT64_MIN : INT64_MAX;
}

int64_t db_int(const struct db_rows *rows, size_t row, size_t column)
{
    const char *text = db_text(rows, row, column);
    int64_t value = 0;

    return text == NULL || hf_parse_i64(text, &value) ? value : nearest_int(text);
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
    if (!hf_is_ok(hf_time_parse(arena, text, &time_us))) {
        /* Older than year 1 ("-infinity", "… BC") or younger than 9999. */
        time_us = text[0] == '-' || hf_has_suffix(text, " BC") ? HF_TIME_MIN_US : HF_TIME_MAX_US;
    }
    return time_us;
}

struct hf_bytes db_bytes(const struct db_rows *rows, size_t row, size_t column)
{
    const struct cell *cell = cell_at(rows, row, column);
    return (struct hf_bytes){(const uint8_t *)cell->ptr, cell->len};
}
