/* WAL in the vault: names, history objects and whole pieces given by archive_command.
 *
 *   <prefix>/wal/<lineage>/<timeline>/<segment>/<from>-<to>           closed slice, whole segment
 *   <prefix>/wal/<lineage>/<timeline>/<segment>/<from>-open-<8 hex>   growing slice
 *   <prefix>/wal/<lineage>/history/<timeline>                         timeline history file
 *
 * Timelines are 8 and LSNs and segment numbers 16 lower-case hex digits; from is inclusive, to is
 * exclusive, and a slice never crosses a segment's end. Every object is a pack of kind WAL. The
 * same bytes stored twice are success; other bytes for a range that is there are refused with
 * FAILED_PRECONDITION, reason VAULT_WAL_CONFLICT: another history, which needs its own lineage.
 */
#ifndef HF_VAULT_WAL_H
#define HF_VAULT_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "base/str.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

#define VAULT_WAL_SEGMENT_MIN (UINT64_C(1) << 20)
#define VAULT_WAL_SEGMENT_MAX (UINT64_C(1) << 30)
/* Reason of the refusal of other bytes for a known range or history. */
#define VAULT_WAL_CONFLICT "WAL_CONFLICT"
/* Longest object name made here, with its NUL. */
#define VAULT_WAL_NAME_MAX 512
/* Ceiling of a history file. */
#define VAULT_WAL_HISTORY_MAX (1u << 20)

/* Where the WAL of one lineage lives. Strings are borrowed by calls, copied by objects. */
struct vault_wal_place {
    const char *prefix;     /* "tenants/<realm>/sources/<source>" */
    const char *lineage;    /* [a-z0-9-]+ */
    uint64_t segment_bytes; /* power of two, 1 MiB … 1 GiB */
};

enum vault_wal_name_kind {
    VAULT_WAL_CLOSED,  /* from, to */
    VAULT_WAL_GROWING, /* from, tag; to is 0: only its records tell */
    VAULT_WAL_HISTORY, /* timeline only */
};

/* What an object name says. */
struct vault_wal_name {
    enum vault_wal_name_kind kind;
    uint32_t timeline;
    uint64_t segno;
    uint64_t from;
    uint64_t to;
    uint32_t tag;
};

/* INVALID_ARGUMENT naming the field of place that is not allowed. Pure. */
struct hf_status vault_wal_place_check(struct hf_arena *arena,
                                       const struct vault_wal_place *place) HF_MUST_USE;
/* Object name in arena. place and name must be valid (HF_CHECK). Pure. */
char *vault_wal_name_format(struct hf_arena *arena, const struct vault_wal_place *place,
                            const struct vault_wal_name *name);
/* False: not an object of this lineage, or one whose numbers contradict each other. Pure. */
bool vault_wal_name_parse(const struct vault_wal_place *place, const char *text,
                          struct vault_wal_name *ret_name);
/* "0/16B3748". */
char *vault_wal_lsn_text(struct hf_arena *arena, uint64_t lsn);
/* Is status the refusal of other bytes? Pure. */
bool vault_wal_is_conflict(struct hf_status status);

/* Store WAL [lsn, lsn + bytes.len) of a timeline as closed slices, sealed and durable when it
 * returns (archive_command; no receiver needed). The range may cross segments.
 * Errors   FAILED_PRECONDITION reason WAL_CONFLICT when a byte of it is there with another value.
 * Threads  any.   Repeat  safe: what is there already is compared and skipped.
 */
struct hf_status vault_wal_push(struct hf_ctx *ctx, struct objstore *store,
                                const struct vault_keyring *keyring,
                                const struct vault_wal_place *place, uint32_t timeline,
                                uint64_t lsn, struct hf_bytes bytes) HF_MUST_USE;

/* Timeline history files, verbatim. put: same bytes again are success, others WAL_CONFLICT.
 * get: NOT_FOUND is never remembered, the store is asked each time; text is appended to buf. */
struct hf_status vault_wal_history_put(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_place *place, uint32_t timeline,
                                       struct hf_bytes text) HF_MUST_USE;
struct hf_status vault_wal_history_get(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_place *place, uint32_t timeline,
                                       struct hf_buf *buf) HF_MUST_USE;

#endif
