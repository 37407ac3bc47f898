/* Timeline history. Surprise: the file of timeline N does not list N itself; an entry's switch
 * point is where that ancestor's WAL stops counting. */
#include "pgformat/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "pgformat/wal.h"

#define ENTRIES_MAX 10000
#define SWITCH_LSN_MAX (UINT64_C(1) << 62)

struct parse {
    struct hf_arena *arena;
    uint32_t timeline;
    unsigned line;
    HF_VEC(struct pgf_history_entry) entries;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Next word of text[*pos], NULL at the end of the line. */
static char *word_take(struct hf_arena *arena, struct hf_str line, size_t *pos)
{
    size_t from;

    while (*pos < line.len && is_blank(line.ptr[*pos])) {
        (*pos)++;
    }
    from = *pos;
    while (*pos < line.len && !is_blank(line.ptr[*pos])) {
        (*pos)++;
    }
    return from == *pos ? NULL : hf_strndup(arena, line.ptr + from, *pos - from);
}

static struct hf_status line_fail(const struct parse *parse, const char *what)
{
    return hf_fail(parse->arena, HF_DATA_LOSS, "history of timeline %u, line %u: %s",
                   (unsigned)parse->timeline, parse->line, what);
}

static struct hf_status entry_check(const struct parse *parse,
                                    const struct pgf_history_entry *entry)
{
    const struct pgf_history_entry *before =
        parse->entries.len > 0 ? &parse->entries.items[parse->entries.len - 1] : NULL;

    if (entry->timeline >= parse->timeline) {
        return line_fail(parse, "an ancestor that is not older than the timeline");
    }
    if (before != NULL && entry->timeline <= before->timeline) {
        return line_fail(parse, "timelines must rise");
    }
    if (before != NULL && entry->switch_lsn < before->switch_lsn) {
        return line_fail(parse, "switch points must not fall");
    }
    return hf_success();
}

static struct hf_status line_parse(struct parse *parse, struct hf_str line)
{
    struct pgf_history_entry entry = {0};
    size_t pos = 0;
    uint64_t timeline;
    const char *word = word_take(parse->arena, line, &pos);

    if (word == NULL || word[0] == '#') {
        return hf_success();
    }
    if (!hf_parse_u64(word, &timeline) || timeline == 0 || timeline > UINT32_MAX) {
        return line_fail(parse, "expected a timeline number");
    }
    word = word_take(parse->arena, line, &pos);
    if (word == NULL || !pgf_lsn_parse(word, &entry.switch_lsn) ||
        entry.switch_lsn > SWITCH_LSN_MAX) {
        return line_fail(parse, "expected a switch point");
    }
    while (pos < line.len && is_blank(line.ptr[pos])) {
        pos++;
    }
    entry.timeline = (uint32_t)timeline;
    entry.reason = hf_strndup(parse->arena, line.ptr + pos, line.len - pos);
    HF_TRY(entry_check(parse, &entry));
    if (parse->entries.len >= ENTRIES_MAX) {
        return line_fail(parse, "more ancestors than any server has");
    }
    *HF_VEC_ADD(parse->arena, &parse->entries) = entry;
    return hf_success();
}

struct hf_status pgf_history_parse(struct hf_arena *arena, uint32_t timeline, struct hf_str text,
                                   struct pgf_history *ret_history)
{
    struct parse parse = {.arena = arena, .timeline = timeline};
    size_t pos = 0;

    if (text.len > PGF_HISTORY_MAX_BYTES || memchr(text.len > 0 ? text.ptr : "", 0, text.len)) {
        return line_fail(&parse, "too long, or not a text");
    }
    while (pos < text.len) {
        const char *end = memchr(text.ptr + pos, '\n', text.len - pos);
        size_t len = end != NULL ? (size_t)(end - text.ptr) - pos : text.len - pos;

        parse.line++;
        HF_TRY(line_parse(&parse, (struct hf_str){text.ptr + pos, len}));
        pos += len + 1;
    }
    *ret_history = (struct pgf_history){timeline, parse.entries.items, parse.entries.len};
    return hf_success();
}

void pgf_history_print(const struct pgf_history *history, struct hf_buf *out)
{
    for (size_t i = 0; i < history->len; i++) {
        const struct pgf_history_entry *entry = &history->entries[i];

        hf_buf_printf(out, "%s%" PRIu32 "\t%s\t%s\n", i > 0 ? "\n" : "", entry->timeline,
                      pgf_lsn(entry->switch_lsn).text, entry->reason);
    }
}

struct pgf_history_name pgf_history_name(uint32_t timeline)
{
    struct pgf_history_name name;

    snprintf(name.text, sizeof(name.text), "%08X.history", (unsigned)timeline);
    return name;
}

uint32_t pgf_history_timeline_at(const struct pgf_history *history, uint64_t lsn)
{
    for (size_t i = 0; i < history->len; i++) {
        if (lsn < history->entries[i].switch_lsn) {
            return history->entries[i].timeline;
        }
    }
    return history->timeline;
}

/* Where a timeline was left on the way; false when it is not on the way. */
static bool switch_find(const struct pgf_history *history, uint32_t timeline, uint64_t *ret_lsn)
{
    if (timeline == history->timeline) {
        *ret_lsn = UINT64_MAX;
        return true;
    }
    for (size_t i = 0; i < history->len; i++) {
        if (history->entries[i].timeline == timeline) {
            *ret_lsn = history->entries[i].switch_lsn;
            return true;
        }
    }
    return false;
}

bool pgf_history_reaches(const struct pgf_history *history, uint32_t timeline, uint64_t lsn)
{
    uint64_t switch_lsn = 0;

    return switch_find(history, timeline, &switch_lsn) && lsn <= switch_lsn;
}

const struct pgf_history_entry *pgf_history_find(const struct pgf_history *history,
                                                 uint32_t timeline, uint32_t *ret_next)
{
    for (size_t i = 0; i < history->len; i++) {
        if (history->entries[i].timeline == timeline) {
            if (ret_next != NULL) {
                *ret_next =
                    i + 1 < history->len ? history->entries[i + 1].timeline : history->timeline;
            }
            return &history->entries[i];
        }
    }
    return NULL;
}

bool pgf_history_follows(const struct pgf_history *later, const struct pgf_history *known,
                         uint64_t lsn)
{
    if (later->len <= known->len || later->entries[known->len].timeline != known->timeline ||
        later->entries[known->len].switch_lsn > lsn) {
        return false;
    }
    for (size_t i = 0; i < known->len; i++) {
        if (later->entries[i].timeline != known->entries[i].timeline ||
            later->entries[i].switch_lsn != known->entries[i].switch_lsn) {
            return false;
        }
    }
    return true;
}

static struct hf_status unreachable(struct hf_arena *arena, const struct pgf_history *history,
                                    uint32_t timeline, uint64_t lsn)
{
    uint64_t switch_lsn = 0;

    if (!switch_find(history, timeline, &switch_lsn)) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "TIMELINE_UNREACHABLE", NULL,
                            "timeline %u is no ancestor of timeline %u", (unsigned)timeline,
                            (unsigned)history->timeline);
    }
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "TIMELINE_UNREACHABLE", NULL,
                        "timeline %u was left at %s on the way to timeline %u, before %s",
                        (unsigned)timeline, pgf_lsn(switch_lsn).text, (unsigned)history->timeline,
                        pgf_lsn(lsn).text);
}

struct hf_status pgf_history_path(struct hf_arena *arena, const struct pgf_history *history,
                                  uint32_t timeline, uint64_t lsn,
                                  const struct pgf_history_leg **ret_legs, size_t *ret_len)
{
    HF_VEC(struct pgf_history_leg) legs = {0};
    uint64_t from_lsn = lsn;

    if (!pgf_history_reaches(history, timeline, lsn)) {
        return unreachable(arena, history, timeline, lsn);
    }
    for (size_t i = 0; i < history->len; i++) {
        const struct pgf_history_entry *entry = &history->entries[i];

        if (entry->timeline >= timeline && from_lsn < entry->switch_lsn) {
            *HF_VEC_ADD(arena, &legs) =
                (struct pgf_history_leg){entry->timeline, from_lsn, entry->switch_lsn};
            from_lsn = entry->switch_lsn;
        }
    }
    *HF_VEC_ADD(arena, &legs) = (struct pgf_history_leg){history->timeline, from_lsn, UINT64_MAX};
    *ret_legs = legs.items;
    *ret_len = legs.len;
    return hf_success();
}
