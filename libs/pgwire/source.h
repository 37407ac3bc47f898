/* What a source PostgreSQL is, and whether it can be protected. */
#ifndef HF_PGWIRE_SOURCE_H
#define HF_PGWIRE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"

/* Answers that a role may not be allowed to get. */
enum pgwire_answer { PGWIRE_UNKNOWN, PGWIRE_NO, PGWIRE_YES };

/* Something worth telling that does not prevent protection. */
struct pgwire_finding {
    const char *reason;  /* SLOT_WAL_UNBOUNDED, FSYNC_OFF, CLOCK_SKEW … */
    const char *message; /* one sentence */
    const char *fix;     /* SQL or advice; "" when there is none */
};

struct pgwire_source {
    int server_version; /* 150018 */
    const char *system_identifier;
    uint32_t timeline;
    uint64_t flush_lsn; /* of the server now */
    bool is_in_recovery;
    uint64_t wal_segment_bytes;
    const char *wal_level;
    const char *peer; /* host:port that answered */
    const char *user;
    enum pgwire_answer is_superuser;
    enum pgwire_answer has_replication;
    enum pgwire_answer has_checksums;
    enum pgwire_answer has_full_page_writes;
    enum pgwire_answer has_fsync;
    int64_t max_slot_wal_keep_mb;  /* -1: unbounded; INT64_MIN: unknown */
    int64_t free_slots;            /* -1: unknown */
    int64_t free_walsenders;       /* -1: unknown */
    int64_t size_bytes;            /* all databases; -1: unknown */
    int64_t clock_skew_us;         /* server's clock minus ours; INT64_MIN: unknown */
    const char *synchronous_names; /* synchronous_standby_names; NULL: unknown */
    const char *data_directory;    /* these four NULL when the role may not read them */
    const char *config_file;
    const char *hba_file;
    const char *ident_file;
    const struct pgwire_finding *findings;
    size_t findings_len;
};

struct pgwire_access;

struct pgwire_source_options {
    const char *dsn;
    const char *password;
    const struct pgwire_access *access; /* see conn.h */
    bool is_primary_only;
    bool is_wire_only;      /* of pgwire_source_look: ask on a replication connection */
    int connect_timeout_ms; /* per connection; 0: 10 s */
    const char *slot;       /* NULL, or one that is ours already: then no free slot is needed */
};

/* Connect twice (physical replication; then SQL, whose absence only makes answers unknown), look,
 * judge. Nothing is changed on the server.
 * Errors   those of conn.h; FAILED_PRECONDITION UNSUPPORTED_VERSION (before 14 or after 18),
 *          WAL_LEVEL_MINIMAL, DATABASE_NOT_FOUND (the DSN names one that is not there);
 * RESOURCE_EXHAUSTED NO_FREE_SLOT. Each message says what to do */
struct hf_status pgwire_source_check(struct hf_ctx *ctx,
                                     const struct pgwire_source_options *options,
                                     struct pgwire_source *ret_source) HF_MUST_USE;

/* The same settings and findings of a source from which WAL streams already, by one connection that
 * takes no walsender away from it (unless is_wire_only). Identity, size and free slots stay zero;
 * free_walsenders counts those that Holdfast uses as free.
 * Errors   those of conn.h */
struct hf_status pgwire_source_look(struct hf_ctx *ctx, const struct pgwire_source_options *options,
                                    struct pgwire_source *ret_source) HF_MUST_USE;

struct pgwire_identity {
    const char *system_identifier;
    uint32_t timeline;
    uint64_t flush_lsn;
};
struct pgwire_conn;
/* IDENTIFY_SYSTEM on a replication connection. */
struct hf_status pgwire_identify(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                 struct pgwire_identity *ret_identity) HF_MUST_USE;
/* SHOW on either kind of connection. PERMISSION_DENIED NO_PRIVILEGE when the role may not. */
struct hf_status pgwire_show(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *setting,
                             const char **ret_value) HF_MUST_USE;
/* Bytes per WAL segment. */
struct hf_status pgwire_segment_size(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                     uint64_t *ret_bytes) HF_MUST_USE;

#endif
