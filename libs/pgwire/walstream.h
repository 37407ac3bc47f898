/* Physical streaming: the primitives from which a WAL receiver is made.
 *
 *   pgwire_wal_start(ctx, conn, slot, lsn, timeline)
 *   for (;;) {
 *       pgwire_wal_next(ctx, conn, 1000, &event);   first event, waits
 *       while (event.kind == PGWIRE_WAL_DATA …) {   take what is there already: timeout 0
 *           write it;
 *           pgwire_wal_next(ctx, conn, 0, &event);
 *       }
 *       fsync once; pgwire_wal_status(ctx, conn, &positions);   group commit
 *   }
 *
 * At END_OF_TIMELINE fetch the next timeline's history and start again on it, from the beginning of
 * the segment that holds the switch point, or from the switch point itself.
 */
#ifndef HF_PGWIRE_WALSTREAM_H
#define HF_PGWIRE_WALSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "base/str.h"
#include "pgwire/conn.h"

/* START_REPLICATION. slot may be NULL. When the server has nothing on this timeline beyond lsn (its
 * switch point lies there), the first event is END_OF_TIMELINE.
 * Errors   conn.h's: WAL_REMOVED, SLOT_NOT_FOUND, SLOT_IN_USE, SLOT_LOST;
 *          FAILED_PRECONDITION TIMELINE_UNKNOWN the server does not have it;
 *          OUT_OF_RANGE LSN_IN_FUTURE lsn is ahead of what the server has flushed */
struct hf_status pgwire_wal_start(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *slot,
                                  uint64_t lsn, uint32_t timeline) HF_MUST_USE;

enum pgwire_wal_kind {
    PGWIRE_WAL_IDLE, /* nothing came within the timeout */
    PGWIRE_WAL_DATA,
    PGWIRE_WAL_KEEPALIVE,
    PGWIRE_WAL_END_OF_TIMELINE, /* the stream is over, the connection takes commands again */
};

struct pgwire_wal_event {
    enum pgwire_wal_kind kind;
    uint64_t lsn;          /* DATA: of the first byte */
    struct hf_bytes bytes; /* DATA: at most 128 KiB + a header; valid until the next call */
    uint64_t server_lsn;   /* DATA, KEEPALIVE: end of WAL on the server */
    int64_t server_time_us;
    bool is_reply_requested; /* KEEPALIVE */
    uint32_t next_timeline;  /* END_OF_TIMELINE; 0: the server just ended (shut down) */
    uint64_t switch_lsn;
};

/* Next event. timeout_ms 0: only what has arrived already, never waits.
 * Errors   WAL_REMOVED and LSN_IN_FUTURE with the first event (the server looks only after it has
 *          said yes; the stream is then over); conn.h's (the connection is then dead), CANCELLED,
 * DEADLINE_EXCEEDED, DATA_LOSS a message that is none */
struct hf_status pgwire_wal_next(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                 struct pgwire_wal_event *ret_event) HF_MUST_USE;

struct pgwire_wal_positions {
    uint64_t write_lsn;
    uint64_t flush_lsn; /* durable */
    uint64_t apply_lsn; /* = flush_lsn, or remote_apply would block for ever */
    bool is_reply_requested;
};
/* Standby status update. Blocks only while the socket is full, within ctx. */
struct hf_status pgwire_wal_status(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                   const struct pgwire_wal_positions *positions) HF_MUST_USE;

/* End the stream from our side; the connection then takes commands again. Pending data is thrown
 * away. */
struct hf_status pgwire_wal_stop(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;

/* Append the bytes of "<timeline>.history" to out. NOT_FOUND TIMELINE_UNKNOWN when the server has
 * none. */
struct hf_status pgwire_timeline_history(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                         uint32_t timeline, struct hf_buf *out) HF_MUST_USE;

#endif
