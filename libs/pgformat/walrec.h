/* Walks the records of contiguous WAL and tells what recovery would see: commits, aborts, restore
 * points, checkpoints, and where the last valid record begins and ends.
 *
 * Every record's CRC and back link are checked; the walk ends cleanly at the first thing that is
 * not a valid record, as recovery does. Memory is one read buffer (256 KiB) whatever the record
 * size; only transaction ends are gathered (≤ 16 MiB). One walk is of one timeline's bytes as the
 * reader delivers them: a reader that switches files at a switch point follows timelines.
 */
#ifndef HF_PGFORMAT_WALREC_H
#define HF_PGFORMAT_WALREC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/status.h"

/* Deliver WAL bytes [lsn, lsn+len): ret_len < len only where the WAL at hand ends. NOT_FOUND is
 * not used for that; an error ends the walk with this error. */
struct pgf_wal_reader {
    struct hf_status (*read)(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                             size_t *ret_len);
    void *arg;
};

enum pgf_walrec_what {
    PGF_REC_OTHER,
    PGF_REC_COMMIT,
    PGF_REC_ABORT,
    PGF_REC_COMMIT_PREPARED,
    PGF_REC_ABORT_PREPARED,
    PGF_REC_RESTORE_POINT,
    PGF_REC_CHECKPOINT, /* online or shutdown */
    PGF_REC_SWITCH,
    PGF_REC_END_OF_RECOVERY,
    PGF_REC_BACKUP_END,
};

struct pgf_walrec {
    uint64_t lsn;     /* of its first byte */
    uint64_t end_lsn; /* where the next record would begin (recovery's "end") */
    uint64_t prev_lsn;
    uint32_t total_len;
    uint32_t xid; /* of the header */
    uint8_t rmid;
    uint8_t info;
    enum pgf_walrec_what what;
    /* By what, else 0 / "": */
    int64_t time_us;    /* commits, aborts, restore point, end of recovery (Unix scale) */
    uint32_t ended_xid; /* commits and aborts: what recovery_target_xid is compared with */
    uint64_t point_lsn; /* checkpoint: redo; backup end: the backup's start */
    uint32_t timeline;  /* checkpoint, end of recovery: this timeline */
    const char *name;   /* restore point; valid until the next step */
};

enum pgf_wal_end {
    PGF_WAL_END_NONE,     /* not ended yet */
    PGF_WAL_END_OF_BYTES, /* the reader had no more, at a record's start or within one */
    PGF_WAL_END_ZEROES,   /* unused space: nothing was written here */
    PGF_WAL_END_LIMIT,    /* the stop LSN was reached */
    PGF_WAL_END_BAD_PAGE, /* header of another page, system or version */
    PGF_WAL_END_BAD_LENGTH,
    PGF_WAL_END_BAD_LINK,
    PGF_WAL_END_BAD_CRC,
    PGF_WAL_END_BAD_CONTINUATION,
};
/* "bad CRC" …; static. */
const char *pgf_wal_end_text(enum pgf_wal_end end);

struct pgf_walk_options {
    struct pgf_wal_reader reader;
    uint64_t start_lsn; /* a record's start, or any page start with is_find_first */
    uint64_t stop_lsn;  /* 0: none; a record that begins at or after it is not read */
    uint64_t segment_bytes;
    uint64_t system_identifier; /* 0: not checked */
    bool is_find_first; /* start_lsn is a page: skip to the first record that begins on it */
};

struct pgf_walk;
/* Free with pgf_walk_free. The options' reader is borrowed for the walk's life. */
struct pgf_walk *pgf_walk_new(const struct pgf_walk_options *options);
void pgf_walk_free(struct pgf_walk *walk); /* accepts NULL */

/* Next record. ret_has is false when the walk has ended (see pgf_walk_end); then ret_rec stays.
 * Errors   only the reader's. */
struct hf_status pgf_walk_next(struct pgf_walk *walk, struct hf_arena *arena,
                               struct pgf_walrec *ret_rec, bool *ret_has) HF_MUST_USE;
enum pgf_wal_end pgf_walk_end(const struct pgf_walk *walk);
/* End of the last valid record: where the walk stands. */
uint64_t pgf_walk_lsn(const struct pgf_walk *walk);

HF_DEFINE_CLEANUP(struct pgf_walk *, pgf_walk_free)

/* What recovery would stop at. */
enum pgf_target_kind {
    PGF_TARGET_NONE,
    PGF_TARGET_TIME,
    PGF_TARGET_XID,
    PGF_TARGET_NAME,
    PGF_TARGET_LSN,
};
struct pgf_target {
    enum pgf_target_kind kind;
    int64_t time_us;
    uint32_t xid;
    const char *name;
    uint64_t lsn;
    bool is_exclusive;
};

struct pgf_wal_summary {
    uint64_t records;
    uint64_t commits; /* with prepared ones */
    uint64_t aborts;
    uint64_t first_lsn;  /* of the first record, 0 when there is none */
    uint64_t last_start; /* of the last valid record, 0 when there is none */
    uint64_t last_end;
    int64_t first_commit_time_us; /* 0: no commit */
    int64_t last_commit_time_us;  /* the greatest time of a commit or abort seen */
    uint64_t last_commit_lsn;
    enum pgf_wal_end end;
    bool is_target_reached;
    uint64_t target_lsn;    /* start of the record at which recovery stops */
    int64_t target_time_us; /* its time, 0 when it has none */
};

/* Walk to the end, or to the target when there is one (target may be NULL).
 * is_target_reached says whether recovery would stop "before/after" because of the target, by the
 * rules of recoveryStopsBefore/After: a time is reached by the first commit or abort *past* it
 * (at or past it when exclusive), an xid by its end record, a name by the first restore point of
 * that name, an LSN by the first record that begins at or after it.
 * Errors   the reader's. */
struct hf_status pgf_wal_scan(struct hf_arena *arena, const struct pgf_walk_options *options,
                              const struct pgf_target *target,
                              struct pgf_wal_summary *ret_summary) HF_MUST_USE;

#endif
