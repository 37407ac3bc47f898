/* backup_label and tablespace_map. Surprise: in tablespace_map a backslash escapes the *next byte*
 * (a newline in a path is backslash + newline), so a line cannot be cut at the first newline. */
#include "pgformat/label.h"

#include <inttypes.h>
#include <string.h>

#include "base/vec.h"
#include "pgformat/wal.h"

/* Value of the line "KEY: value" in arena, or NULL. */
static char *line_find(struct hf_arena *arena, struct hf_str text, const char *key)
{
    size_t key_len = strlen(key);
    size_t pos = 0;

    while (pos < text.len) {
        const char *line = text.ptr + pos;
        const char *end = memchr(line, '\n', text.len - pos);
        size_t len = end != NULL ? (size_t)(end - line) : text.len - pos;

        if (len >= key_len + 2 && memcmp(line, key, key_len) == 0 &&
            memcmp(line + key_len, ": ", 2) == 0) {
            return hf_strndup(arena, line + key_len + 2, len - key_len - 2);
        }
        pos += len + 1;
    }
    return NULL;
}

/* "0/2000028 (file 000000010000000000000002)". */
static struct hf_status start_parse(struct hf_arena *arena, char *value, struct pgf_label *label)
{
    char *space = value != NULL ? strchr(value, ' ') : NULL;
    char *file = space != NULL && hf_has_prefix(space, " (file ") ? space + 7 : NULL;
    uint64_t segno;

    if (file == NULL || strlen(file) != PGF_WAL_NAME_LEN + 1 || file[PGF_WAL_NAME_LEN] != ')') {
        return hf_fail(arena, HF_DATA_LOSS, "backup_label has no valid START WAL LOCATION");
    }
    *space = '\0';
    file[PGF_WAL_NAME_LEN] = '\0';
    if (!pgf_lsn_parse(value, &label->start_lsn) ||
        !pgf_wal_name_parse(file, PGF_WAL_SEGMENT_MIN, &label->start_timeline, &segno)) {
        return hf_fail(arena, HF_DATA_LOSS, "backup_label has no valid START WAL LOCATION");
    }
    label->start_wal_file = file;
    return hf_success();
}

static struct hf_status timeline_parse(struct hf_arena *arena, const char *value,
                                       struct pgf_label *label)
{
    uint64_t timeline;

    if (value == NULL) {
        return hf_success();
    }
    if (!hf_parse_u64(value, &timeline) || timeline == 0 || timeline > UINT32_MAX) {
        return hf_fail(arena, HF_DATA_LOSS, "backup_label has no valid START TIMELINE");
    }
    label->start_timeline = (uint32_t)timeline;
    return hf_success();
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

struct hf_status pgf_label_parse(struct hf_arena *arena, struct hf_str text,
                                 struct pgf_label *ret_label)
{
    struct pgf_label label = {0};
    char *checkpoint;

    if (text.len > PGF_LABEL_MAX_BYTES || (text.len > 0 && memchr(text.ptr, 0, text.len))) {
        return hf_fail(arena, HF_DATA_LOSS, "backup_label is too long, or not a text");
    }
    if (line_find(arena, text, "INCREMENTAL FROM LSN") != NULL) {
        return hf_fail_info(arena, HF_DATA_LOSS, "INCREMENTAL_BACKUP", NULL,
                            "backup_label belongs to an incremental backup of PostgreSQL");
    }
    HF_TRY(start_parse(arena, line_find(arena, text, "START WAL LOCATION"), &label));
    checkpoint = line_find(arena, text, "CHECKPOINT LOCATION");
    if (checkpoint == NULL || !pgf_lsn_parse(checkpoint, &label.checkpoint_lsn)) {
        return hf_fail(arena, HF_DATA_LOSS, "backup_label has no valid CHECKPOINT LOCATION");
    }
    HF_TRY(timeline_parse(arena, line_find(arena, text, "START TIMELINE"), &label));
    label.backup_method = text_or_empty(line_find(arena, text, "BACKUP METHOD"));
    label.backup_from = text_or_empty(line_find(arena, text, "BACKUP FROM"));
    label.start_time = text_or_empty(line_find(arena, text, "START TIME"));
    label.label = text_or_empty(line_find(arena, text, "LABEL"));
    *ret_label = label;
    return hf_success();
}

/* One entry from text[*pos] on, unescaped, without its newline. */
static char *entry_take(struct hf_arena *arena, struct hf_str text, size_t *pos)
{
    size_t end = *pos;
    size_t len = 0;

    while (end < text.len && text.ptr[end] != '\n' && text.ptr[end] != '\r') {
        end += text.ptr[end] == '\\' && end + 1 < text.len ? 2 : 1;
    }
    char *out = hf_alloc(arena, end - *pos + 1); /* of this entry: there may be thousands */

    while (*pos < text.len && text.ptr[*pos] != '\n' && text.ptr[*pos] != '\r') {
        if (text.ptr[*pos] == '\\' && *pos + 1 < text.len) {
            (*pos)++;
        }
        out[len++] = text.ptr[(*pos)++];
    }
    while (*pos < text.len && (text.ptr[*pos] == '\n' || text.ptr[*pos] == '\r')) {
        (*pos)++;
    }
    out[len] = '\0';
    return out;
}

static struct hf_status entry_parse(struct hf_arena *arena, char *entry,
                                    struct pgf_tablespace *ret_item)
{
    char *space = strchr(entry, ' ');
    uint64_t oid;

    if (space == NULL) {
        return hf_fail(arena, HF_DATA_LOSS, "tablespace_map has a line without a path");
    }
    *space = '\0';
    if (!hf_parse_u64(entry, &oid) || oid == 0 || oid > UINT32_MAX || space[1] == '\0') {
        return hf_fail(arena, HF_DATA_LOSS, "tablespace_map has a bad line for \"%s\"",
                       hf_text_show(arena, entry, strlen(entry), HF_SHOWN_MAX));
    }
    *ret_item = (struct pgf_tablespace){(uint32_t)oid, space + 1};
    return hf_success();
}

struct hf_status pgf_tablespace_map_parse(struct hf_arena *arena, struct hf_str text,
                                          const struct pgf_tablespace **ret_items, size_t *ret_len)
{
    HF_VEC(struct pgf_tablespace) items = {0};
    size_t pos = 0;

    if (text.len > PGF_TABLESPACE_MAP_MAX_BYTES ||
        (text.len > 0 && memchr(text.ptr, 0, text.len))) {
        return hf_fail(arena, HF_DATA_LOSS, "tablespace_map is too long, or not a text");
    }
    while (pos < text.len) {
        struct pgf_tablespace item = {0};
        char *entry = entry_take(arena, text, &pos);

        if (entry[0] == '\0') {
            continue;
        }
        HF_TRY(entry_parse(arena, entry, &item));
        if (items.len == PGF_TABLESPACES_MAX) {
            return hf_fail(arena, HF_DATA_LOSS, "tablespace_map names more than %d tablespaces",
                           PGF_TABLESPACES_MAX);
        }
        for (size_t i = 0; i < items.len; i++) {
            if (items.items[i].oid == item.oid) {
                return hf_fail(arena, HF_DATA_LOSS, "tablespace_map names %" PRIu32 " twice",
                               item.oid);
            }
        }
        *HF_VEC_ADD(arena, &items) = item;
    }
    *ret_items = items.items;
    *ret_len = items.len;
    return hf_success();
}

void pgf_tablespace_map_print(const struct pgf_tablespace *items, size_t len, struct hf_buf *out)
{
    for (size_t i = 0; i < len; i++) {
        hf_buf_printf(out, "%" PRIu32 " ", items[i].oid);
        for (const char *p = items[i].path; *p != '\0'; p++) {
            if (*p == '\n' || *p == '\r' || *p == '\\') {
                hf_buf_append(out, "\\", 1);
            }
            hf_buf_append(out, p, 1);
        }
        hf_buf_append(out, "\n", 1);
    }
}
