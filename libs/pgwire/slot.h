/* Physical replication slots on a source: what keeps its WAL until it is durable with us. */
#ifndef HF_PGWIRE_SLOT_H
#define HF_PGWIRE_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "pgwire/conn.h"

#define PGWIRE_SLOT_NAME_MAX 63

struct pgwire_slot_name {
    char text[PGWIRE_SLOT_NAME_MAX + 1];
};
/* "holdfast_orders_1a2b3c": "-" becomes "_", the tail is a hash of name and salt (an install id, so
 * that two installs protecting one server do not meet). cluster is a product name. Pure. */
struct pgwire_slot_name pgwire_slot_name(const char *cluster, const char *salt);

enum pgwire_slot_wal {
    PGWIRE_SLOT_WAL_UNKNOWN,
    PGWIRE_SLOT_RESERVED,
    PGWIRE_SLOT_EXTENDED,
    PGWIRE_SLOT_UNRESERVED,
    PGWIRE_SLOT_LOST
};

struct pgwire_slot {
    bool exists;
    bool is_physical;
    bool is_active;
    int active_pid;       /* 0: none */
    uint64_t restart_lsn; /* 0: reserves nothing yet, or lost */
    enum pgwire_slot_wal wal;
    int64_t safe_wal_bytes; /* until the slot is in danger; -1: unbounded or unknown */
};

/* Either kind of connection; make and drop need REPLICATION. */

/* Make it with RESERVE_WAL. OK when it is there and physical (Repeat: safe); ret_made tells.
 * Errors   RESOURCE_EXHAUSTED NO_FREE_SLOT; ALREADY_EXISTS SLOT_NAME_TAKEN a logical one;
 *          FAILED_PRECONDITION WAL_LEVEL_MINIMAL */
struct hf_status pgwire_slot_make(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                  bool *ret_made) HF_MUST_USE;
/* OK when it is gone already. Errors  FAILED_PRECONDITION SLOT_IN_USE */
struct hf_status pgwire_slot_drop(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                  const char *name) HF_MUST_USE;
/* exists is false when there is none. A replication connection of a server before 15 cannot read
 * slots: FAILED_PRECONDITION; READ_REPLICATION_SLOT elsewhere leaves is_active, wal and
 * safe_wal_bytes unknown. Prefer an SQL connection. */
struct hf_status pgwire_slot_read(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                  struct pgwire_slot *ret_slot) HF_MUST_USE;
/* Move restart_lsn up to lsn (on standbys, where nobody streams from our slot). SQL connection.
 * OK when it is there or beyond. lsn beyond what the server has is cut to that. */
struct hf_status pgwire_slot_advance(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                     uint64_t lsn) HF_MUST_USE;

#endif
