/* What the files of the receiver share. */
#ifndef HF_BACKUP_SOURCE_RECEIVER_INTERNAL_H
#define HF_BACKUP_SOURCE_RECEIVER_INTERNAL_H

#include "backup/source/receiver.h"
#include "base/pool.h"
#include "pgformat/history.h"
#include "pgwire/conn.h"
#include "vault/wal_writer.h"

#define RECEIVER_ENDS_MAX 32
#define RECEIVER_PEER_MAX 256

/* A timeline that was left, and the LSN through which its WAL is durable and counts. */
struct receiver_end {
    uint32_t timeline;
    uint64_t lsn;
};

/* What a source may make happen here within an hour; counted over all its connections. */
struct receiver_budget {
    int64_t since_us; /* hf_mono_us() */
    unsigned used;
};
#define RECEIVER_FORKS_PER_HOUR 6 /* new lineages */
#define RECEIVER_GAPS_PER_HOUR 30
#define RECEIVER_TURNS_PER_HOUR 100 /* timelines left behind */

/* Who looks whether the vault is the one that was written to. Each tells anew what it found itself:
 * the one sees what the other does not. */
enum receiver_finder {
    RECEIVER_INVENTORY,
    RECEIVER_LOOK,
    RECEIVER_FINDERS,
};
struct receiver_loss {
    char message[RECEIVER_ERROR_MAX];
    char reason[RECEIVER_REASON_MAX]; /* "": none */
};

struct receiver {
    struct hf_lock lock; /* guards status, ends, forks and losses */
    struct receiver_status status;
    struct receiver_end ends[RECEIVER_ENDS_MAX];
    size_t ends_len;
    uint64_t forks; /* new lineages begun */
    struct receiver_loss losses[RECEIVER_FINDERS];

    /* Constant after start. */
    struct receiver_options options; /* strings on the heap */
    char *application_name;
    struct hf_cancel stop;
    struct hf_thread *thread; /* streams */
    struct hf_thread *clerk;  /* inventory, compaction, other members */

    /* The streaming thread's own. */
    struct vault_wal_writer *writer; /* NULL: not opened, or spent */
    uint32_t timeline;               /* of writer, or the last one that was streamed; 0: unknown */
    char lineage[RECEIVER_LINEAGE_MAX];
    bool is_gap_due; /* gap_peer has lost the WAL at the position */
    char gap_peer[RECEIVER_PEER_MAX];
    char said[RECEIVER_ERROR_MAX]; /* the failure that was logged last; "" after a steady stream */
    unsigned failures;             /* in a row: only a stream that held for a while ends the row */
    struct receiver_budget fork_budget;
    struct receiver_budget gap_budget;
    struct receiver_budget turn_budget;
};

/* One connection. Its data lives in ctx->arena until it ends. */
struct receiver_session {
    struct receiver *receiver;
    struct pgwire_conn *conn;
    bool is_standby;            /* no host of the DSN is a primary: streaming from a standby */
    int64_t leave_us;           /* hf_mono_us() when a primary is looked for again; 0: never */
    uint32_t timeline;          /* of the server */
    uint32_t next_timeline;     /* the server has said that it is there; 0: it has not */
    uint64_t flush_lsn;         /* of the server when it was asked */
    struct pgf_history history; /* of the server's timeline */
    struct vault_wal_place place;
};

/* receiver_plan.c: without a writer, open one where the stored WAL ends; none while nothing is
 * stored. The source is not asked, so that what is durable is known while it is away. */
struct hf_status receiver_open_stored(struct hf_ctx *ctx, struct receiver *receiver) HF_MUST_USE;
/* receiver_plan.c: open or move the writer to where streaming goes on: timelines, gaps, forks. */
struct hf_status receiver_plan(struct hf_ctx *ctx, struct receiver_session *session) HF_MUST_USE;
/* Begin a new lineage at the server's end, because of cause (a WAL_CONFLICT). */
struct hf_status receiver_fork_lineage(struct hf_ctx *ctx, struct receiver_session *session,
                                       const char *why) HF_MUST_USE;
/* Is one of a budget left? Whoever has done what it is for counts used up: what failed costs
 * nothing. Errors   FAILED_PRECONDITION HISTORY_UNSTABLE what happened most times within the hour
 */
struct hf_status receiver_afford(struct hf_ctx *ctx, struct receiver_budget *budget, unsigned most,
                                 const char *what) HF_MUST_USE;
/* receiver_stream.c: stream the writer's timeline until it ends (OK) or something fails. */
struct hf_status receiver_stream(struct hf_ctx *ctx, struct receiver_session *session) HF_MUST_USE;
/* receiver_loop.c: body of the streaming thread. */
void receiver_loop(void *arg);
/* receiver_clerk.c: body of the thread for all that may be slow. */
void receiver_clerk(void *arg);

/* What the clerk has compacted of the current range. */
struct receiver_compaction {
    uint32_t timeline;
    uint64_t range_start;
    char lineage[RECEIVER_LINEAGE_MAX];
    uint64_t written; /* segments below have their whole object, or need none */
    uint64_t cleaned; /* segments below have no slices left */
};
/* receiver_compact.c: a few segments further. */
struct hf_status receiver_compact(struct hf_ctx *ctx, const struct receiver *receiver,
                                  const struct receiver_status *now,
                                  struct receiver_compaction *state) HF_MUST_USE;
/* receiver_members.c: keep our slot on the other hosts of the DSN. */
void receiver_tend_members(struct hf_ctx *ctx, const struct receiver *receiver,
                           const struct receiver_status *now);

/* receiver.c: changes of the snapshot, each under the lock. */
/* ended: how the last attempt did; NULL leaves what was said of it. */
void receiver_note_state(struct receiver *receiver, enum receiver_state state,
                         const struct hf_status *ended);
void receiver_note_durable(struct receiver *receiver);
void receiver_note_open(struct receiver *receiver);
void receiver_note_heard(struct receiver *receiver, uint64_t source_lsn, uint64_t bytes);
void receiver_note_flush(struct receiver *receiver, int64_t took_us);
void receiver_note_end(struct receiver *receiver, uint32_t timeline, uint64_t lsn);
void receiver_note_gap(struct receiver *receiver, const struct vault_wal_range *gap);
/* found: how the look ended. */
void receiver_note_vault(struct receiver *receiver, enum receiver_finder finder,
                         struct hf_status found);
/* Ask on_vault, and note it. Before each session, and by the clerk each few seconds: WAL that was
 * acknowledged between a loss and the next look is sent again only while the source still has it,
 * and is a gap when it has not. */
void receiver_look_at_vault(struct hf_ctx *ctx, struct receiver *receiver);
/* Is there a vault from which the WAL could be read again? What goes into another one, or under
 * keys that it has no more, is not acknowledged.
 * Errors   FAILED_PRECONDITION with the reason of who found it */
struct hf_status receiver_check_vault(struct hf_ctx *ctx, struct receiver *receiver) HF_MUST_USE;
bool receiver_is_vault_lost(struct hf_status status);
void receiver_note_lineage(struct receiver *receiver, const char *lineage);

#endif
