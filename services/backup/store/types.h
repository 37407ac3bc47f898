/* Rows of the backup schema as plain structs. Strings live in the arena of the call that loaded
 * them; empty text means "none". Times are µs since 1970, 0 = none. */
#ifndef HF_BACKUP_STORE_TYPES_H
#define HF_BACKUP_STORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct cluster_row {
    const char *id; /* UUID; also the source's name in the vault */
    const char *name;
    const char *dsn;
    struct hf_bytes password_sealed; /* ptr NULL: none; the next three alike */
    struct hf_bytes ca_sealed;       /* in lists: only whether there is one */
    struct hf_bytes cert_sealed;
    struct hf_bytes key_sealed;
    bool is_operator_made; /* an admin of the installation registered it */
    const char *system_identifier;
    uint32_t server_version;
    uint64_t segment_bytes;
    const char *lineage;
    const char *slot;
    const char *warnings; /* one per line */
    bool is_slot_unbounded;
    uint64_t size_bytes;
    uint64_t next_pack;
    uint64_t journal_head;
    struct hf_bytes journal_hash;
    int64_t create_time_us;
    int64_t revision;
    const char *damage; /* what in the row cannot be; NULL: nothing */
    bool is_unusable;   /* the damage is in what is used, not only shown */
};

struct backup_row {
    const char *id;
    const char *cluster; /* name */
    const char *cluster_id;
    const char *state;      /* PENDING RUNNING SUCCEEDED FAILED CANCELLED */
    const char *checkpoint; /* FAST SPREAD */
    const char *job_id;
    const char *lineage;
    uint32_t timeline;
    uint64_t start_lsn;
    uint64_t stop_lsn;
    int64_t create_time_us;
    int64_t start_time_us;
    int64_t end_time_us;
    uint64_t source_bytes;
    uint64_t changed_bytes;
    uint64_t stored_bytes;
    uint64_t files;
    uint64_t journal_entry;
    uint32_t server_version;
    const char *predecessor;
    const char *root;
    const char *error_code;
    const char *error_message;
    const char *error_reason;
    const char *verification; /* "", VERIFIED, DAMAGED */
    int64_t verify_time_us;
    const char *findings; /* one per line */
    int64_t revision;
    const char *damage; /* what in the row cannot be; NULL: nothing */
};

struct restore_row {
    const char *id;
    const char *cluster;
    const char *cluster_id;
    const char *state;
    const char *job_id;
    const char *target;
    const char *backup_id;
    const char *directory;
    uint64_t resolved_lsn;
    int64_t resolved_time_us;
    uint64_t restored_bytes;
    const char *error_code;
    const char *error_message;
    const char *error_reason;
    int64_t create_time_us;
    int64_t end_time_us;
    const char *damage; /* what in the row cannot be; NULL: nothing */
};

struct gap_row {
    uint32_t timeline;
    uint64_t from_lsn;
    uint64_t to_lsn;
};

#endif
