/* A row as it comes back from PostgreSQL. It may have been written by an older version or by hand,
 * so every value is judged: one that cannot be becomes a neutral one, and the first of them is
 * named in damage. A damaged row is a row: it is listed and shown, and stops no other. */
#ifndef HF_BACKUP_STORE_READING_H
#define HF_BACKUP_STORE_READING_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "db/db.h"

/* What a column may hold; the same numbers stand in the schema's CHECKs. Queries cut texts one
 * character behind it, so that no row is too large to be listed. */
enum store_max {
    STORE_SYSTEM_MAX = 20,
    STORE_ID_MAX = 40,
    STORE_WORD_MAX = 64,
    STORE_TARGET_MAX = 256,
    STORE_ROOT_MAX = 1024,
    STORE_MESSAGE_MAX = 4096,
    STORE_LINES_MAX = 16384,
    STORE_SECRET_MAX = 131072,
    STORE_CA_MAX = 600000,
};

struct reading {
    struct hf_arena *arena;
    const struct db_rows *rows;
    size_t row;
    const char *damage; /* NULL: none yet */
};

/* Text for people: safe to show, cut to max. NULL is "". */
const char *reading_text(struct reading *reading, size_t column, const char *name, size_t max);
/* The same with line feeds between its lines. */
const char *reading_lines(struct reading *reading, size_t column, const char *name, size_t max);
/* Text that is used as it is: at most max bytes and no control characters, else "". */
const char *reading_exact(struct reading *reading, size_t column, const char *name, size_t max);
/* The same with white space of any kind: connection strings of earlier releases. */
const char *reading_spaced(struct reading *reading, size_t column, const char *name, size_t max);
/* One of words (the last is NULL), else the first. */
const char *reading_word(struct reading *reading, size_t column, const char *name,
                         const char *const words[]);
/* A number from least to most, else least. */
int64_t reading_int(struct reading *reading, size_t column, const char *name, int64_t least,
                    int64_t most);
/* A size or count: not negative. */
uint64_t reading_count(struct reading *reading, size_t column, const char *name);
uint64_t reading_lsn(struct reading *reading, size_t column, const char *name);
/* Years 1 to 9999, else 0. */
int64_t reading_time(struct reading *reading, size_t column, const char *name);
/* At most max bytes, else none. */
struct hf_bytes reading_bytes(struct reading *reading, size_t column, const char *name, size_t max);
/* What a member of a row's struct is read as: the functions above. */
enum reading_kind {
    READING_EXACT, /* const char * */
    READING_TEXT,
    READING_LINES,
    READING_WORD,
    READING_LSN, /* uint64_t */
    READING_COUNT,
    READING_TIME,  /* int64_t */
    READING_INT,   /* int64_t, not negative */
    READING_INT32, /* uint32_t that PostgreSQL has as integer */
};

/* One column, in the order of the query. */
struct reading_column {
    enum reading_kind kind;
    size_t offset; /* of the member in the row's struct */
    const char *name;
    size_t max;               /* bytes of texts */
    const char *const *words; /* of READING_WORD */
};

/* {READING(READING_EXACT, const char *, struct backup_row, id, "id"), .max = STORE_ID_MAX}: does
 * not compile when the member is of another type. */
#define READING(as, type, row, member, column)                                                     \
    .kind = (as),                                                                                  \
    .offset = _Generic(((row *)NULL)->member, type                                                 \
                       : offsetof(row, member)),                                                   \
    .name = (column)

struct reading_table {
    const struct reading_column *columns;
    size_t columns_len;
    size_t row_bytes;
    size_t damage_offset; /* of the struct's const char *damage */
};

/* All rows, as an array of the table's struct. */
void *reading_rows(struct hf_arena *arena, const struct db_rows *rows,
                   const struct reading_table *table);

/* Note that a value cannot be. */
void reading_blame(struct reading *reading, const char *name, const char *what);

/* Foreign text on its way in: safe, at most max bytes. NULL is "". */
const char *store_text(struct hf_arena *arena, const char *text, size_t max);
/* The same line by line. */
const char *store_lines(struct hf_arena *arena, const char *text, size_t max);

#endif
