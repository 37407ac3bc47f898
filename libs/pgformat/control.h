/* global/pg_control of PostgreSQL 14 to 18. Pure. */
#ifndef HF_PGFORMAT_CONTROL_H
#define HF_PGFORMAT_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PGF_CONTROL_FILE_BYTES 8192

/* DBState. */
enum pgf_control_state {
    PGF_STATE_STARTUP = 0,
    PGF_STATE_SHUT_DOWN = 1,
    PGF_STATE_SHUT_DOWN_IN_RECOVERY = 2,
    PGF_STATE_SHUTTING_DOWN = 3,
    PGF_STATE_IN_CRASH_RECOVERY = 4,
    PGF_STATE_IN_ARCHIVE_RECOVERY = 5,
    PGF_STATE_IN_PRODUCTION = 6,
};

struct pgf_control {
    uint64_t system_identifier;
    uint32_t control_version; /* 1300 (14 to 16), 1700, 1800 */
    uint32_t catalog_version; /* 202209061 … */
    int server_major;         /* from both; 0 for an unknown catalog of a known layout */
    enum pgf_control_state state;
    int64_t time_us; /* of the last update */
    uint64_t checkpoint_lsn;
    uint64_t redo_lsn;
    uint32_t timeline;
    uint32_t prev_timeline;
    int64_t checkpoint_time_us;
    uint64_t min_recovery_lsn;
    uint32_t min_recovery_timeline;
    uint64_t backup_start_lsn;
    uint64_t backup_end_lsn;
    bool is_backup_end_required;
    bool has_full_page_writes;
    int wal_level; /* 0 minimal, 1 replica, 2 logical */
    int max_connections;
    int max_worker_processes;
    int max_wal_senders;
    int max_prepared_xacts;
    int max_locks_per_xact;
    uint32_t block_bytes;
    uint32_t relation_segment_blocks;
    uint32_t wal_block_bytes;
    uint32_t wal_segment_bytes;
    uint32_t data_checksum_version; /* 0: off */
};

/* bytes: the file, at least 300 bytes of it.
 * Errors   DATA_LOSS cut off, bad CRC, impossible values; FAILED_PRECONDITION reason
 *          UNSUPPORTED_VERSION a version that is not 14 to 18 */
struct hf_status pgf_control_decode(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                    struct pgf_control *ret_control) HF_MUST_USE;

/* Put an impossible checkpoint (0/DEAD) in place and renew the CRC: a restored directory whose
 * backup_label gets lost then refuses to start instead of starting corrupt. bytes as above, changed
 * in place. Errors as above. */
struct hf_status pgf_control_disarm(struct hf_arena *arena, uint8_t *bytes, size_t len) HF_MUST_USE;

/* "in production" …; "unknown" for other numbers. Static. */
const char *pgf_control_state_text(enum pgf_control_state state);

#endif
