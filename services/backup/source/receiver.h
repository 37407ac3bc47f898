/* The WAL receiver of one cluster: a thread that streams from a physical slot into the vault and
 * acknowledges only what is durable there, so that it can be a synchronous standby.
 *
 * It connects as application_name "holdfast_<cluster>", creates its slot (RESERVE_WAL) when it is
 * missing, continues behind the last durable LSN, follows timelines, and reconnects for ever with
 * jittered backoff (0.2 s … 10 s). It has no tables: what must be remembered goes to the hooks.
 */
#ifndef HF_BACKUP_RECEIVER_H
#define HF_BACKUP_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "pgwire/conn.h"
#include "pgwire/source.h"
#include "vault/journal.h"
#include "vault/wal_index.h"

#define RECEIVER_LINEAGE_MAX 64
#define RECEIVER_GAPS_MAX 16
#define RECEIVER_REASON_MAX 64
#define RECEIVER_ERROR_MAX 512

struct receiver;

enum receiver_state {
    RECEIVER_CONNECTING,
    RECEIVER_STREAMING,
    RECEIVER_WAITING, /* backs off after an error, which error names */
    RECEIVER_STOPPED,
    RECEIVER_STALLED, /* goes on trying, but a person must act (foreign system id, no right) */
};

/* Why a new lineage must begin: the source's history is not the one that is stored. */
struct receiver_fork {
    const char *lineage; /* the one that ends */
    uint32_t timeline;   /* where the source is now */
    uint64_t start_lsn;  /* where the new lineage will begin */
    const char *why;
};

/* on_gap and on_lineage are called on the receiver's thread, while nothing streams; a failure makes
 * it reconnect and ask again, so they are idempotent. on_inventory runs on a thread of its own, so
 * that a slow database never delays an acknowledgement. Any may be NULL; without on_lineage a fork
 * stalls the receiver. The ctx has an arena of one call and the stop flag. */
struct receiver_hooks {
    void *arg;
    /* WAL [from, to) of a timeline is lost for ever. Called before streaming goes on behind it. */
    struct hf_status (*on_gap)(struct hf_ctx *ctx, void *arg, const char *lineage,
                               const struct vault_wal_range *gap);
    /* Make the lineage (journal entry, catalogue) and give its name; at most
     * RECEIVER_LINEAGE_MAX - 1 characters. */
    struct hf_status (*on_lineage)(struct hf_ctx *ctx, void *arg, const struct receiver_fork *fork,
                                   const char **ret_lineage);
    /* What is durable, at most once in inventory_us and only when it changed; a failure is tried
     * again. One that says that the vault is not the one that was written to (vault_is_loss) holds
     * the stream until the hook succeeds. */
    struct hf_status (*on_inventory)(struct hf_ctx *ctx, void *arg,
                                     const struct vault_wal_info *wal);
    /* Does the vault still show what was written last, and the keys? Before each session, and each
     * vault_us; on the receiver's thread or the clerk's, so it asks the store alone, a few small
     * reads. A loss holds the stream as that of the inventory does. */
    struct hf_status (*on_vault)(struct hf_ctx *ctx, void *arg);
    /* What is stored was opened, begun or skipped over, or an hour has passed: look for what it
     * lacks. Runs on the thread of on_inventory. ret_is_at_end: it lacks WAL at its end, which may
     * be streamed yet; asked again with the next inventory, as after a failure. */
    struct hf_status (*on_stored)(struct hf_ctx *ctx, void *arg, const struct vault_wal_info *wal,
                                  bool *ret_is_at_end);
    /* What the source's settings are now: after each connect, and every look_us while it streams.
     * Runs on the thread of on_inventory. */
    struct hf_status (*on_look)(struct hf_ctx *ctx, void *arg, const struct pgwire_source *source);
};

struct receiver_options { /* all copied; store and keyring borrowed until free */
    const char *cluster;
    const char *dsn;             /* libpq connection string, several hosts allowed */
    const char *password;        /* NULL: none */
    struct pgwire_access access; /* its gate borrowed, its texts copied */
    const char *slot;
    const char *system_identifier; /* decimal */
    struct objstore *store;
    const struct vault_keyring *keyring;
    const char *prefix;  /* of the source in the vault */
    const char *lineage; /* current one */
    uint32_t timeline;   /* newest of it that was streamed; 0: not known */
    uint64_t segment_bytes;
    int64_t inventory_us; /* between inventories; 0: one minute */
    int64_t look_us;      /* between looks at the source's settings; 0: 15 s */
    int64_t vault_us;     /* between looks at the vault; 0: 5 s */
    struct receiver_hooks hooks;
};

/* Snapshot by value. */
struct receiver_status {
    enum receiver_state state;
    char error[RECEIVER_ERROR_MAX];   /* last failure, "" while streaming */
    char reason[RECEIVER_REASON_MAX]; /* its reason, "" without one */
    char lineage[RECEIVER_LINEAGE_MAX];
    uint32_t timeline;
    uint64_t start_lsn;      /* of the contiguous range that ends at durable_lsn */
    uint64_t durable_lsn;    /* 0: nothing known yet */
    uint64_t source_lsn;     /* the source's own end as last heard */
    int64_t durable_time_us; /* all WAL that existed at this server time is durable; 0: none */
    int64_t heard_us;        /* hf_now_us() of the last message; 0: never */
    struct vault_wal_range gaps[RECEIVER_GAPS_MAX]; /* newest ones of this lineage */
    size_t gaps_len;
    uint64_t gaps_total;
    uint64_t connects;
    uint64_t opens; /* times that what is stored was opened, begun or skipped over */
    uint64_t flushes;
    uint64_t flush_us; /* sum over all flushes */
    uint64_t bytes;    /* WAL taken since start */
};

/* Start its threads; what goes wrong later shows in the status. NULL: the system has no threads to
 * give (hf_thread_refused), nothing runs. */
struct receiver *receiver_start(const struct receiver_options *options);
/* Ask it to end (returns at once); its slice is flushed and closed. */
void receiver_stop(struct receiver *receiver);
/* receiver_stop, wait for the thread (seconds at most), free. Accepts NULL. */
void receiver_free(struct receiver *receiver);

/* State with the failure's words. */
void receiver_status_fail(struct receiver_status *status, enum receiver_state state,
                          struct hf_status failure);
void receiver_status_get(struct receiver *receiver, struct receiver_status *ret_status);

/* Wait until WAL of timeline below lsn is durable.
 * Errors   DEADLINE_EXCEEDED, CANCELLED from ctx, with the receiver's last error in the message;
 *          FAILED_PRECONDITION the timeline ended below lsn, or lsn fell into a gap;
 *          ABORTED a new lineage began while waiting; UNAVAILABLE the receiver was stopped
 * Threads  any. */
struct hf_status receiver_wait_lsn(struct hf_ctx *ctx, struct receiver *receiver, uint32_t timeline,
                                   uint64_t lsn) HF_MUST_USE;

#endif
