/* Timeline history files: which timelines led to one, and where each was left. Pure. */
#ifndef HF_PGFORMAT_HISTORY_H
#define HF_PGFORMAT_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#define PGF_HISTORY_MAX_BYTES (1024 * 1024)
#define PGF_HISTORY_NAME_LEN 16 /* "00000002.history" */

/* An ancestor: its WAL counts up to switch_lsn. */
struct pgf_history_entry {
    uint32_t timeline;
    uint64_t switch_lsn;
    const char *reason;
};

/* The way to one timeline: ancestors oldest first. Timeline 1 has none and no file. */
struct pgf_history {
    uint32_t timeline;
    const struct pgf_history_entry *entries;
    size_t len;
};

/* Bytes of "<timeline>.history". Everything lives in arena; text is empty for timeline 1.
 * Errors   DATA_LOSS bad line, timelines not rising or not below this one, switch points falling */
struct hf_status pgf_history_parse(struct hf_arena *arena, uint32_t timeline, struct hf_str text,
                                   struct pgf_history *ret_history) HF_MUST_USE;
/* PostgreSQL's form. */
void pgf_history_print(const struct pgf_history *history, struct hf_buf *out);

struct pgf_history_name {
    char text[PGF_HISTORY_NAME_LEN + 1];
};
struct pgf_history_name pgf_history_name(uint32_t timeline);

/* Timeline on whose WAL the byte at lsn lies on the way to history->timeline. */
uint32_t pgf_history_timeline_at(const struct pgf_history *history, uint64_t lsn);

/* Whether a server at (timeline, lsn) - a backup's stop - can go on to history->timeline: it is
 * that timeline, or an ancestor that was left at or after lsn. */
bool pgf_history_reaches(const struct pgf_history *history, uint32_t timeline, uint64_t lsn);

/* Where the way to history->timeline leaves that ancestor; NULL: it is none. ret_next (may be
 * NULL): the timeline after it. */
const struct pgf_history_entry *pgf_history_find(const struct pgf_history *history,
                                                 uint32_t timeline, uint32_t *ret_next);

/* Does later go on from known: over the same ancestors, leaving known->timeline at or before lsn?
 */
bool pgf_history_follows(const struct pgf_history *later, const struct pgf_history *known,
                         uint64_t lsn);

/* One stretch of WAL on one timeline, [from_lsn, to_lsn). */
struct pgf_history_leg {
    uint32_t timeline;
    uint64_t from_lsn;
    uint64_t to_lsn; /* UINT64_MAX on the last */
};
/* Legs from (timeline, lsn) to history->timeline, in order.
 * Errors   FAILED_PRECONDITION not reachable, naming the switch point (reason
 * TIMELINE_UNREACHABLE) */
struct hf_status pgf_history_path(struct hf_arena *arena, const struct pgf_history *history,
                                  uint32_t timeline, uint64_t lsn,
                                  const struct pgf_history_leg **ret_legs,
                                  size_t *ret_len) HF_MUST_USE;

#endif
