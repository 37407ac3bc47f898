/* One protected cluster with all that work on it needs: its row, its keys, its place in the vault.
 */
#ifndef HF_BACKUP_SOURCE_SOURCE_H
#define HF_BACKUP_SOURCE_SOURCE_H

#include "backup/app.h"
#include "backup/store/types.h"
#include "pgwire/conn.h"
#include "pgwire/source.h"
#include "vault/journal.h"

struct source {
    struct backup_app *app;
    const char *tenant_id;
    const char *tenant; /* name; the realm */
    struct cluster_row row;
    const struct vault_keyring *keyring;
    const char *prefix; /* tenants/<realm>/sources/<cluster id> */
};

/* By cluster id or by name (the other NULL). Strings live in ctx->arena. NOT_FOUND. */
struct hf_status source_load(struct hf_ctx *ctx, struct backup_app *app, const char *tenant_id,
                             const char *cluster_id, struct source *ret_source) HF_MUST_USE;
struct hf_status source_load_name(struct hf_ctx *ctx, struct backup_app *app, const char *tenant_id,
                                  const char *name, struct source *ret_source) HF_MUST_USE;

/* How a source is reached: everything but its DSN. In the arena. */
struct source_login {
    const char *password; /* NULL: none */
    struct pgwire_access access;
};
/* Errors   FAILED_PRECONDITION SECRETS_KEY_CHANGED: sealed with another installation's secrets.key;
 *          the vault has nothing to do with it */
#define SOURCE_SECRETS_KEY_CHANGED "SECRETS_KEY_CHANGED"
struct hf_status source_login_open(struct hf_ctx *ctx, const struct source *source,
                                   struct source_login *ret_login) HF_MUST_USE;

/* The secrets of a source that are kept sealed, each under a place of its own. */
enum source_secret {
    SOURCE_PASSWORD,
    SOURCE_CA,
    SOURCE_CERT,
    SOURCE_KEY,
};
/* Empty text seals to nothing. */
struct source_part {
    enum source_secret secret;
    const char *text;
};
struct hf_status source_seal(struct hf_ctx *ctx, const struct backup_app *app,
                             const char *tenant_id, const char *cluster_id,
                             const struct source_part *part,
                             struct hf_bytes *ret_sealed) HF_MUST_USE;

struct source_finding {
    const char *message;
    const char *fix; /* "": none */
};
/* What of the row's connection string would be refused today, and the command that mends it; false:
 * nothing. */
bool source_dsn_problem(struct hf_arena *arena, const struct cluster_row *row,
                        struct source_finding *ret_finding);

/* What a look at a server found, for cluster_row: warnings, one per line, each followed by a line
 * that begins with SOURCE_FIX when something mends it. Nothing foreign begins a line. */
#define SOURCE_FIX "fix: "
const char *source_warnings(struct hf_arena *arena, const struct pgwire_source *source);
/* While the stream is down, does its slot keep WAL without any bound? */
bool source_is_unbounded(const struct pgwire_source *source);

/* The journal as it is now, checked against the head that PostgreSQL remembers. A source without
 * any entry gets its first two: what it is, and its lineage. */
struct hf_status source_journal(struct hf_ctx *ctx, const struct source *source,
                                struct vault_source_state *ret_state) HF_MUST_USE;
/* Newest timeline of a lineage that the journal's inventories name, 0: none; ret_lsn (may be NULL):
 * through where it was durable then. Only receivers write them. Pure. */
uint32_t source_streamed(const struct vault_source_state *state, const char *lineage,
                         uint64_t *ret_lsn);
/* Append, then remember the new head in PostgreSQL. */
struct hf_status source_append(struct hf_ctx *ctx, const struct source *source,
                               struct vault_source_state *state,
                               struct vault_entry *entry) HF_MUST_USE;

#endif
