/* A protected cluster as its workers see it. The surprise: the journal's head is pinned in
 * PostgreSQL, so that a vault rolled back under a running service is noticed at the next look. */
#include "backup/source/source.h"

#include <string.h>

#include "backup/source/realms.h"
#include "backup/store/clusters.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "pgwire/dsn.h"

static struct hf_status finish_load(struct hf_ctx *ctx, struct source *source)
{
    HF_TRY(auth_tenant_name(ctx, source->app->db, source->tenant_id, &source->tenant));
    HF_TRY(
        realms_get(ctx, source->app->realms, source->tenant_id, source->tenant, &source->keyring));
    source->prefix = hf_printf(ctx->arena, "tenants/%s/sources/%s", source->tenant, source->row.id);
    return hf_success();
}

static struct hf_status load_row(struct hf_ctx *ctx, struct source *source, const char *cluster_id,
                                 const char *name)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, source->app->db, source->tenant_id, DB_READ_COMMITTED, &tx));
    if (cluster_id != NULL) {
        HF_TRY(clusters_get_id(ctx, tx, cluster_id, &source->row));
    } else {
        HF_TRY(clusters_get(ctx, tx, name, &source->row));
    }
    return db_tx_commit(ctx, &tx);
}

static struct hf_status load(struct hf_ctx *ctx, struct backup_app *app, const char *tenant_id,
                             const char *cluster_id, const char *name, struct source *ret_source)
{
    struct source source = {.app = app, .tenant_id = hf_strdup(ctx->arena, tenant_id)};

    HF_TRY(load_row(ctx, &source, cluster_id, name));
    if (cluster_id != NULL) { /* by its name it can at least be removed */
        HF_TRY(clusters_usable(ctx->arena, &source.row));
    }
    HF_TRY(finish_load(ctx, &source));
    *ret_source = source;
    return hf_success();
}

struct hf_status source_load(struct hf_ctx *ctx, struct backup_app *app, const char *tenant_id,
                             const char *cluster_id, struct source *ret_source)
{
    return load(ctx, app, tenant_id, cluster_id, NULL, ret_source);
}

struct hf_status source_load_name(struct hf_ctx *ctx, struct backup_app *app, const char *tenant_id,
                                  const char *name, struct source *ret_source)
{
    return load(ctx, app, tenant_id, NULL, name, ret_source);
}

static const char *place_of(struct hf_ctx *ctx, const char *tenant_id, const char *cluster_id,
                            enum source_secret secret)
{
    static const char *const names[] = {
        [SOURCE_PASSWORD] = "password",
        [SOURCE_CA] = "ca",
        [SOURCE_CERT] = "certificate",
        [SOURCE_KEY] = "key",
    };

    return hf_printf(ctx->arena, "tenants/%s/clusters/%s/%s", tenant_id, cluster_id, names[secret]);
}

/* The flags that give again what is stored of the connection. */
static const char *flags_of(struct hf_arena *arena, const struct cluster_row *row)
{
    return hf_printf(arena, "%s%s%s", row->password_sealed.len > 0 ? " --password-file FILE" : "",
                     row->ca_sealed.len > 0 ? " --ca-file FILE" : "",
                     row->cert_sealed.len > 0 ? " --cert-file FILE --key-file FILE" : "");
}

/* Not the vault's key: nothing that is stored there depends on it. */
static struct hf_status not_ours(struct hf_ctx *ctx, const struct source *source,
                                 struct hf_status status)
{
    const char *name = source->row.name;
    const char *const metadata[] = {"cluster", name, NULL};

    if (status.info == NULL || !hf_text_equal(status.info->reason, "WRONG_KEY")) {
        return status;
    }
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, SOURCE_SECRETS_KEY_CHANGED, metadata,
                        "what is stored to connect to cluster %s was sealed with another "
                        "secrets.key than the one that is there now; its backups do not need it "
                        "and stay recoverable; put secrets.key back, or give it again: holdfast "
                        "cluster update %s%s",
                        name, hf_shell_word(ctx->arena, name), flags_of(ctx->arena, &source->row));
}

static struct hf_status unseal(struct hf_ctx *ctx, const struct source *source,
                               enum source_secret secret, struct hf_bytes sealed,
                               const char **ret_text)
{
    struct hf_bytes plain = {0};

    *ret_text = NULL;
    if (sealed.ptr == NULL || sealed.len == 0) {
        return hf_success();
    }
    struct hf_status status =
        secret_open(ctx, source->app->secrets,
                    place_of(ctx, source->tenant_id, source->row.id, secret), sealed, &plain);

    HF_TRY(hf_is_ok(status) ? status : not_ours(ctx, source, status));
    *ret_text = hf_strndup(ctx->arena, (const char *)plain.ptr, plain.len);
    return hf_success();
}

struct hf_status source_login_open(struct hf_ctx *ctx, const struct source *source,
                                   struct source_login *ret_login)
{
    const struct cluster_row *row = &source->row;
    struct source_login login = {.access = {.egress = source->app->egress,
                                            .run_dir = source->app->run_dir,
                                            .is_operator = row->is_operator_made,
                                            .owner = source->tenant_id}};

    HF_TRY(unseal(ctx, source, SOURCE_PASSWORD, row->password_sealed, &login.password));
    HF_TRY(unseal(ctx, source, SOURCE_CA, row->ca_sealed, &login.access.ca_pem));
    HF_TRY(unseal(ctx, source, SOURCE_CERT, row->cert_sealed, &login.access.cert_pem));
    HF_TRY(unseal(ctx, source, SOURCE_KEY, row->key_sealed, &login.access.key_pem));
    *ret_login = login;
    return hf_success();
}

struct hf_status source_seal(struct hf_ctx *ctx, const struct backup_app *app,
                             const char *tenant_id, const char *cluster_id,
                             const struct source_part *part, struct hf_bytes *ret_sealed)
{
    struct hf_str view = hf_str_of(part->text);
    struct hf_bytes plain = {(const uint8_t *)view.ptr, view.len};

    if (view.len == 0) {
        *ret_sealed = (struct hf_bytes){0};
        return hf_success();
    }
    return secret_seal(ctx, app->secrets, place_of(ctx, tenant_id, cluster_id, part->secret), plain,
                       ret_sealed);
}

#define LOSES_REVOKED                                                                              \
    "; sslcrl and sslcrldir have no successor: after the fix a certificate that is on their list " \
    "is taken again"

static bool names_revoked(const char *dsn)
{
    return pgwire_dsn_names(dsn, "sslcrl") || pgwire_dsn_names(dsn, "sslcrldir");
}

/* Then the password that is stored does not go along (pgwire_dsn_is_trusted). */
static bool keeps_password(const struct cluster_row *row)
{
    return row->password_sealed.len == 0 ||
           !(names_revoked(row->dsn) || pgwire_dsn_names(row->dsn, "sslrootcert"));
}

bool source_dsn_problem(struct hf_arena *arena, const struct cluster_row *row,
                        struct source_finding *ret_finding)
{
    struct hf_status status =
        hf_text_empty(row->dsn) ? hf_success() : pgwire_dsn_check(arena, row->dsn);

    if (hf_is_ok(status)) {
        return false;
    }
    *ret_finding = (struct source_finding){
        .message = hf_printf(arena, "the connection string would be refused now: %s%s",
                             status.message, names_revoked(row->dsn) ? LOSES_REVOKED : ""),
        .fix = hf_printf(arena, "holdfast cluster update %s %s%s", hf_shell_word(arena, row->name),
                         pgwire_dsn_mend(arena, row->dsn),
                         keeps_password(row) ? "" : " --password-stdin"),
    };
    return true;
}

static const char *one_line(struct hf_arena *arena, const char *text)
{
    return hf_text_show(arena, text, strlen(text), HF_SHOWN_MAX);
}

const char *source_warnings(struct hf_arena *arena, const struct pgwire_source *source)
{
    const char *text = "";

    for (size_t i = 0; i < source->findings_len; i++) {
        const struct pgwire_finding *finding = &source->findings[i];
        bool has_fix = !hf_text_empty(finding->fix);

        text = hf_printf(arena, "%s%s%s%s%s", text, i == 0 ? "" : "\n",
                         one_line(arena, finding->message), has_fix ? "\n" SOURCE_FIX : "",
                         has_fix ? one_line(arena, finding->fix) : "");
    }
    return text;
}

bool source_is_unbounded(const struct pgwire_source *source)
{
    return source->max_slot_wal_keep_mb == -1;
}

/* The head that PostgreSQL remembers now; the row of the source may be minutes old. */
static struct hf_status pinned_head(struct hf_ctx *ctx, const struct source *source,
                                    uint64_t *ret_head, const uint8_t **ret_hash)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct cluster_row row;

    HF_TRY(db_tx_begin(ctx, source->app->db, source->tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_get_id(ctx, tx, source->row.id, &row));
    HF_TRY(db_tx_commit(ctx, &tx));
    *ret_head = row.journal_hash.len == VAULT_HASH_LEN ? row.journal_head : 0;
    *ret_hash = row.journal_hash.ptr;
    return hf_success();
}

static struct hf_status begin_journal(struct hf_ctx *ctx, const struct source *source,
                                      struct vault_source_state *state)
{
    struct vault_entry first = {
        .kind = VAULT_ENTRY_SOURCE,
        .time_us = hf_now_us(),
        .attempt_id = hf_printf(ctx->arena, "source/%s", source->row.id),
        .u.source = {.name = source->row.name,
                     .system_identifier = source->row.system_identifier,
                     .server_version = source->row.server_version,
                     .wal_segment_bytes = source->row.segment_bytes},
    };
    struct vault_entry lineage = {
        .kind = VAULT_ENTRY_LINEAGE,
        .time_us = first.time_us,
        .attempt_id = hf_printf(ctx->arena, "lineage/%s", source->row.lineage),
        .u.lineage = {.lineage = source->row.lineage,
                      .system_identifier = source->row.system_identifier},
    };

    HF_TRY(source_append(ctx, source, state, &first));
    return source_append(ctx, source, state, &lineage);
}

struct hf_status source_journal(struct hf_ctx *ctx, const struct source *source,
                                struct vault_source_state *ret_state)
{
    struct vault_source_state state = {0};
    uint64_t head = 0;
    const uint8_t *hash = NULL;

    HF_TRY(pinned_head(ctx, source, &head, &hash));
    struct hf_status status = vault_journal_read(ctx, source->app->vault, source->keyring,
                                                 source->prefix, head, hash, &state);

    if (status.code == HF_NOT_FOUND && head == 0) {
        state = (struct vault_source_state){0};
        status = begin_journal(ctx, source, &state);
    }
    HF_TRY(hf_wrap(ctx->arena, status, "reading the journal of cluster %s", source->row.name));
    if (state.lineages_len == 0) { /* a crash came between the first two entries */
        HF_TRY(begin_journal(ctx, source, &state));
    }
    *ret_state = state;
    return hf_success();
}

uint32_t source_streamed(const struct vault_source_state *state, const char *lineage,
                         uint64_t *ret_lsn)
{
    uint32_t newest = 0;

    for (size_t i = 0; i < state->wal_len; i++) {
        const struct vault_wal_info *wal = &state->wal[i];

        if (wal->timeline > newest && hf_text_equal(wal->lineage, lineage)) {
            newest = wal->timeline;
            if (ret_lsn != NULL) {
                *ret_lsn = wal->durable_lsn;
            }
        }
    }
    return newest;
}

struct hf_status source_append(struct hf_ctx *ctx, const struct source *source,
                               struct vault_source_state *state, struct vault_entry *entry)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(realms_keep(ctx, source->app->realms, source->tenant));
    HF_TRY(vault_journal_append(ctx, source->app->vault, source->keyring, source->prefix, state,
                                entry));
    HF_TRY(db_tx_begin(ctx, source->app->db, source->tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_set_head(ctx, tx, source->row.id, state->head,
                             (struct hf_bytes){state->head_hash, VAULT_HASH_LEN}));
    return db_tx_commit(ctx, &tx);
}
