/* Judging what comes back. Surprise: only texts of rows are read here, never the typed getters of
 * libs/db: those take a value that does not fit for a bug. */
#include "backup/store/reading.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#define SHOWN_IN_DAMAGE 64

void reading_blame(struct reading *reading, const char *name, const char *what)
{
    if (reading->damage == NULL) {
        reading->damage = hf_printf(reading->arena, "%s is %s", name, what);
    }
}

static void blame_value(struct reading *reading, const char *name, const char *text)
{
    reading_blame(reading, name,
                  hf_printf(reading->arena, "\"%s\"",
                            hf_text_show(reading->arena, text, strlen(text), SHOWN_IN_DAMAGE)));
}

static const char *cell(const struct reading *reading, size_t column)
{
    const char *text = db_text(reading->rows, reading->row, column);

    return text == NULL ? "" : text;
}

static const char *bounded(struct reading *reading, size_t column, const char *name, size_t max)
{
    const char *text = cell(reading, column);

    if (strlen(text) > max) {
        reading_blame(reading, name, hf_printf(reading->arena, "longer than %zu bytes", max));
    }
    return text;
}

const char *reading_text(struct reading *reading, size_t column, const char *name, size_t max)
{
    return store_text(reading->arena, bounded(reading, column, name, max), max);
}

const char *reading_lines(struct reading *reading, size_t column, const char *name, size_t max)
{
    return store_lines(reading->arena, bounded(reading, column, name, max), max);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* spaces: control characters that may stand in it. */
static const char *exact(struct reading *reading, size_t column, const char *name, size_t max,
                         const char *spaces)
{
    const char *text = cell(reading, column);

    for (const char *p = text; *p != '\0'; p++) {
        if ((is_control(*p) && strchr(spaces, *p) == NULL) || (size_t)(p - text) >= max) {
            blame_value(reading, name, text);
            return "";
        }
    }
    return text;
}

const char *reading_exact(struct reading *reading, size_t column, const char *name, size_t max)
{
    return exact(reading, column, name, max, "");
}

const char *reading_spaced(struct reading *reading, size_t column, const char *name, size_t max)
{
    return exact(reading, column, name, max, "\t\n\v\f\r");
}

const char *reading_word(struct reading *reading, size_t column, const char *name,
                         const char *const words[])
{
    const char *text = cell(reading, column);

    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            return words[i];
        }
    }
    blame_value(reading, name, text);
    return words[0];
}

int64_t reading_int(struct reading *reading, size_t column, const char *name, int64_t least,
                    int64_t most)
{
    const char *text = cell(reading, column);
    int64_t value = 0;

    if (text[0] != '\0' && (!hf_parse_i64(text, &value) || value < least || value > most)) {
        blame_value(reading, name, text);
        return least;
    }
    return value;
}

uint64_t reading_count(struct reading *reading, size_t column, const char *name)
{
    return (uint64_t)reading_int(reading, column, name, 0, INT64_MAX);
}

uint64_t reading_lsn(struct reading *reading, size_t column, const char *name)
{
    const char *text = cell(reading, column);
    uint64_t lsn = 0;

    if (text[0] != '\0' && !hf_parse_u64(text, &lsn)) {
        blame_value(reading, name, text);
        return 0;
    }
    return lsn;
}

int64_t reading_time(struct reading *reading, size_t column, const char *name)
{
    const char *text = cell(reading, column);
    int64_t time_us = 0;

    if (text[0] != '\0' &&
        (!hf_is_ok(hf_time_parse(reading->arena, text, &time_us)) || !hf_time_in_range(time_us))) {
        blame_value(reading, name, text);
        return 0;
    }
    return time_us;
}

struct hf_bytes reading_bytes(struct reading *reading, size_t column, const char *name, size_t max)
{
    struct hf_bytes bytes = db_bytes(reading->rows, reading->row, column);

    if (bytes.len > max) {
        reading_blame(reading, name, hf_printf(reading->arena, "longer than %zu bytes", max));
        return (struct hf_bytes){0};
    }
    return bytes;
}

static void take(struct reading *r, size_t i, const struct reading_column *column, char *target)
{
    const char *name = column->name;
    const char *text = NULL;
    uint64_t count = 0;
    int64_t number = 0;
    uint32_t small = 0;

    switch (column->kind) {
    case READING_EXACT:
        text = reading_exact(r, i, name, column->max);
        break;
    case READING_TEXT:
        text = reading_text(r, i, name, column->max);
        break;
    case READING_LINES:
        text = reading_lines(r, i, name, column->max);
        break;
    case READING_WORD:
        text = reading_word(r, i, name, column->words);
        break;
    case READING_LSN:
        count = reading_lsn(r, i, name);
        memcpy(target, &count, sizeof(count));
        return;
    case READING_COUNT:
        count = reading_count(r, i, name);
        memcpy(target, &count, sizeof(count));
        return;
    case READING_TIME:
        number = reading_time(r, i, name);
        memcpy(target, &number, sizeof(number));
        return;
    case READING_INT:
        number = reading_int(r, i, name, 0, INT64_MAX);
        memcpy(target, &number, sizeof(number));
        return;
    case READING_INT32:
        small = (uint32_t)reading_int(r, i, name, 0, INT32_MAX);
        memcpy(target, &small, sizeof(small));
        return;
    }
    memcpy(target, &text, sizeof(text));
}

void *reading_rows(struct hf_arena *arena, const struct db_rows *rows,
                   const struct reading_table *table)
{
    size_t len = db_len(rows);
    char *list = hf_alloc(arena, (len + 1) * table->row_bytes);

    for (size_t i = 0; i < len; i++) {
        struct reading r = {arena, rows, i, NULL};
        char *row = list + i * table->row_bytes;

        for (size_t k = 0; k < table->columns_len; k++) {
            take(&r, k, &table->columns[k], row + table->columns[k].offset);
        }
        memcpy(row + table->damage_offset, &r.damage, sizeof(r.damage));
    }
    return list;
}

const char *store_text(struct hf_arena *arena, const char *text, size_t max)
{
    return text == NULL ? "" : hf_text_show(arena, text, strlen(text), max);
}

const char *store_lines(struct hf_arena *arena, const char *text, size_t max)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf lines = {0};

    if (text == NULL || memchr(text, '\n', strlen(text)) == NULL) {
        return store_text(arena, text, max);
    }
    hf_buf_init(&lines, max);
    while (*text != '\0' && !lines.is_full) {
        size_t len = strcspn(text, "\n");
        size_t room = max - lines.len;
        const char *line = hf_text_show(arena, text, len, room < len ? room : len + HF_SHOWN_MAX);

        hf_buf_printf(&lines, "%s%s", lines.len == 0 ? "" : "\n", line);
        text += len + (text[len] == '\n');
    }
    return hf_strdup(arena, hf_buf_text(&lines));
}
