/* BASE_BACKUP over a replication connection, as tar events. PostgreSQL 14 to 18.
 *
 * Memory is bounded (one protocol message); callbacks hold the stream back by not returning. Page
 * checksums are verified by the server, WAL and manifest are not asked for.
 */
#ifndef HF_PGWIRE_BASEBACKUP_H
#define HF_PGWIRE_BASEBACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "pgformat/tar.h"
#include "pgwire/conn.h"

struct pgwire_backup_options {
    const char *label;
    bool is_spread_checkpoint;
    uint32_t max_rate_kib; /* 0: unlimited; else 32 to 1048576 */
};

struct pgwire_backup_tablespace {
    uint32_t oid;         /* 0: the data directory */
    const char *location; /* "" for the data directory */
    int64_t size_bytes;   /* the server's estimate, -1 when unknown */
};

struct pgwire_backup_start {
    uint64_t start_lsn;
    uint32_t timeline;
    const struct pgwire_backup_tablespace *tablespaces; /* data directory too, last */
    size_t tablespaces_len;
    int64_t size_bytes; /* estimate of all */
};

struct pgwire_backup_end {
    uint64_t stop_lsn;
    uint32_t timeline;
    uint64_t received_bytes;
};

/* Any but tar may be NULL; a callback's failure ends the backup with its status.
 * Order: started, then per archive archive_begin, tar events, archive_end. The data directory's
 * archive is the last; its first members are backup_label and tablespace_map, its last
 * global/pg_control. Pointers are borrowed until the callback returns. */
struct pgwire_backup_events {
    struct hf_status (*started)(void *arg, const struct pgwire_backup_start *start);
    /* oid 0, location "": the data directory. */
    struct hf_status (*archive_begin)(void *arg, uint32_t oid, const char *location);
    struct hf_status (*archive_end)(void *arg);
    struct hf_status (*progress)(void *arg, uint64_t received_bytes);
    struct pgf_tar_events tar;
    void *arg; /* of the four above */
};

/* Runs to the end; the connection is in replication mode and, on success, usable again. On any
 * failure close it: that ends the backup on the server.
 * Errors   conn.h's reasons, PAGE_CHECKSUM_FAILED after the last byte; DATA_LOSS malformed stream;
 *          CANCELLED, DEADLINE_EXCEEDED; a callback's */
struct hf_status pgwire_base_backup(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const struct pgwire_backup_options *options,
                                    const struct pgwire_backup_events *events,
                                    struct pgwire_backup_end *ret_end) HF_MUST_USE;

#endif
