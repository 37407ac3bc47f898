/* Identity → rights. A caller is looked up before its tenant is known, so the lookup goes through
 * one function that the owner defined; everything else is under row-level security. */
#include "auth/auth.h"

#include <string.h>

#include "auth/bootstrap_sql.h"
#include "auth/migrations_sql.h"
#include "auth/queries_sql.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"

/* A transaction needs a tenant; this one has no rows. */
#define NO_TENANT "00000000-0000-0000-0000-000000000000"

static const char *const kinds[] = {"client", "service", "agent"};

static bool is_kind(struct hf_str kind)
{
    for (size_t i = 0; i < HF_LEN(kinds); i++) {
        if (hf_str_equal(kind, hf_str_of(kinds[i]))) {
            return true;
        }
    }
    return false;
}

struct hf_status auth_peer_parse(struct hf_arena *arena, const char *uri, const char *install_id,
                                 struct auth_peer *ret_peer)
{
    const char *prefix = hf_printf(arena, "spiffe://%s/", install_id);

    if (uri == NULL || !hf_has_prefix(uri, prefix)) {
        return hf_fail(arena, HF_UNAUTHENTICATED,
                       "the certificate was not issued by this installation");
    }
    const char *kind = uri + strlen(prefix);
    const char *slash = strchr(kind, '/');
    if (slash == NULL || !is_kind((struct hf_str){kind, (size_t)(slash - kind)}) ||
        !hf_is_name(slash + 1)) {
        return hf_fail(arena, HF_UNAUTHENTICATED,
                       "the certificate's name is not of the form spiffe://install/kind/name");
    }
    ret_peer->kind = hf_strndup(arena, kind, (size_t)(slash - kind));
    ret_peer->name = hf_strdup(arena, slash + 1);
    return hf_success();
}

static struct hf_status query_once(struct hf_ctx *ctx, struct db *db, const char *sql,
                                   const struct db_param *params, size_t params_len,
                                   const struct db_rows **ret_rows)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, db, NO_TENANT, DB_READ_COMMITTED, &tx));
    HF_TRY(db_query(ctx, tx, sql, params, params_len, ret_rows));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status tenant_not_found(struct hf_ctx *ctx, const char *tenant_name)
{
    const char *const metadata[] = {"tenant", tenant_name, NULL};
    return hf_fail_info(ctx->arena, HF_NOT_FOUND, "TENANT_NOT_FOUND", metadata,
                        "tenant %s not found", tenant_name);
}

static struct hf_status denied(struct hf_ctx *ctx, const char *reason, const char *principal)
{
    const char *const metadata[] = {"principal", principal, NULL};
    return hf_fail_info(ctx->arena, HF_PERMISSION_DENIED, reason, metadata,
                        "%s may not act here: %s", principal,
                        strcmp(reason, "IDENTITY_UNKNOWN") == 0
                            ? "no tenant knows it; issue its certificate with holdfast certs issue"
                            : "its certificate was revoked");
}

static struct hf_status check_permission(struct hf_ctx *ctx, const struct auth_grant *grant,
                                         const char *permission)
{
    const char *const metadata[] = {"permission", permission,       "role", grant->role,
                                    "principal",  grant->principal, NULL};

    if (auth_role_allows(grant->role, permission)) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_PERMISSION_DENIED, "PERMISSION_MISSING", metadata,
                        "%s has role %s in tenant %s, which does not include %s", grant->principal,
                        grant->role, grant->tenant_name, permission);
}

struct hf_status auth_authorize(struct hf_ctx *ctx, struct db *db, const struct auth_peer *peer,
                                const char *tenant_name, const char *permission,
                                struct auth_grant *ret_grant)
{
    const struct db_rows *rows = NULL;
    const char *principal = hf_printf(ctx->arena, "%s/%s", peer->kind, peer->name);

    HF_TRY(query_once(ctx, db, sql_auth_authorize,
                      DB_ARGS(DB_TEXT(peer->kind), DB_TEXT(peer->name), DB_TEXT(tenant_name)),
                      &rows));
    if (!db_bool(rows, 0, 3)) {
        return denied(ctx, "IDENTITY_UNKNOWN", principal);
    }
    if (db_is_null(rows, 0, 0)) {
        return tenant_not_found(ctx, tenant_name);
    }
    if (db_bool(rows, 0, 2)) {
        return denied(ctx, "IDENTITY_DENIED", principal);
    }
    struct auth_grant grant = {
        .tenant_id = db_text(rows, 0, 0),
        .tenant_name = hf_strdup(ctx->arena, tenant_name),
        .principal = principal,
        .role = db_text(rows, 0, 1),
        .is_operator = db_bool(rows, 0, 4),
    };
    HF_TRY(check_permission(ctx, &grant, permission));
    *ret_grant = grant;
    return hf_success();
}

struct hf_status auth_tenant_list(struct hf_ctx *ctx, struct db *db,
                                  const struct auth_tenant **ret_tenants, size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(query_once(ctx, db, sql_auth_tenants, DB_NO_ARGS, &rows));
    struct auth_tenant *tenants = HF_NEW_N(ctx->arena, struct auth_tenant, db_len(rows) + 1);
    for (size_t i = 0; i < db_len(rows); i++) {
        tenants[i] = (struct auth_tenant){db_text(rows, i, 0), db_text(rows, i, 1)};
    }
    *ret_tenants = tenants;
    *ret_len = db_len(rows);
    return hf_success();
}

struct hf_status auth_tenant_id(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                const char **ret_tenant_id)
{
    const struct auth_tenant *tenants = NULL;
    size_t len = 0;

    HF_TRY(auth_tenant_list(ctx, db, &tenants, &len));
    for (size_t i = 0; i < len; i++) {
        if (strcmp(tenants[i].name, tenant_name) == 0) {
            *ret_tenant_id = tenants[i].id;
            return hf_success();
        }
    }
    return tenant_not_found(ctx, tenant_name);
}

struct hf_status auth_tenant_name(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                                  const char **ret_name)
{
    const struct auth_tenant *tenants = NULL;
    size_t len = 0;

    HF_TRY(auth_tenant_list(ctx, db, &tenants, &len));
    for (size_t i = 0; i < len; i++) {
        if (strcmp(tenants[i].id, tenant_id) == 0) {
            *ret_name = tenants[i].name;
            return hf_success();
        }
    }
    return tenant_not_found(ctx, tenant_id);
}

static struct hf_status check_peer(struct hf_ctx *ctx, const struct auth_peer *peer)
{
    if (is_kind(hf_str_of(peer->kind)) && hf_is_name(peer->name)) {
        return hf_success();
    }
    return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                   "%s/%s is no identity: expected client, service or agent and a name of "
                   "[a-z][a-z0-9-]{0,39}",
                   peer->kind, peer->name);
}

/* Run one write in the tenant called tenant_name. */
static struct hf_status write_in(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                                 const char *sql, const struct db_param params[4],
                                 int64_t *ret_affected)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    size_t params_len = params[3].ptr == NULL ? 2 : 4;

    HF_TRY(db_tx_begin(ctx, db, tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(db_exec(ctx, tx, sql, params, params_len, ret_affected));
    return db_tx_commit(ctx, &tx);
}

struct hf_status auth_identity_put(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                   const struct auth_peer *peer, const char *role)
{
    const char *tenant_id = NULL;
    int64_t affected = 0;

    HF_TRY(check_peer(ctx, peer));
    if (!auth_role_exists(role)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "there is no role %s: expected admin, operator or viewer", role);
    }
    HF_TRY(auth_tenant_id(ctx, db, tenant_name, &tenant_id));
    const struct db_param params[4] = {DB_UUID(tenant_id), DB_TEXT(peer->kind), DB_TEXT(peer->name),
                                       DB_TEXT(role)};
    return write_in(ctx, db, tenant_id, sql_auth_identity_put, params, &affected);
}

struct hf_status auth_identity_get(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                   const struct auth_peer *peer, const char **ret_role,
                                   bool *ret_is_operator)
{
    const struct db_rows *rows = NULL;
    const char *tenant_id = NULL;

    HF_TRY(auth_tenant_id(ctx, db, tenant_name, &tenant_id));
    HF_TRY(query_once(ctx, db, sql_auth_authorize,
                      DB_ARGS(DB_TEXT(peer->kind), DB_TEXT(peer->name), DB_TEXT(tenant_name)),
                      &rows));
    *ret_role = db_is_null(rows, 0, 0) ? NULL : db_text(rows, 0, 1);
    *ret_is_operator = db_bool(rows, 0, 4);
    return hf_success();
}

struct hf_status auth_identity_deny(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                    const struct auth_peer *peer)
{
    const char *tenant_id = NULL;
    int64_t affected = 0;

    HF_TRY(auth_tenant_id(ctx, db, tenant_name, &tenant_id));
    const struct db_param params[4] = {DB_TEXT(peer->kind), DB_TEXT(peer->name)};
    HF_TRY(write_in(ctx, db, tenant_id, sql_auth_identity_deny, params, &affected));
    if (affected == 0) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "tenant %s knows no %s/%s", tenant_name,
                       peer->kind, peer->name);
    }
    return hf_success();
}

struct hf_status auth_tenant_create(struct hf_ctx *ctx, struct db *owner_db,
                                    const char *tenant_name, const char **ret_tenant_id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *id = hf_uuid_new_text(ctx->arena, hf_now_us());

    if (!hf_is_name(tenant_name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "%s is no tenant name: expected [a-z][a-z0-9-]{0,39}", tenant_name);
    }
    HF_TRY(db_system_begin(ctx, owner_db, &tx));
    HF_TRY(
        db_exec(ctx, tx, sql_auth_tenant_create, DB_ARGS(DB_UUID(id), DB_TEXT(tenant_name)), NULL));
    HF_TRY(db_tx_commit(ctx, &tx));
    *ret_tenant_id = id;
    return hf_success();
}

struct db_schema auth_schema(void)
{
    return (struct db_schema){"platform", "auth", auth_migrations, AUTH_MIGRATIONS_LEN};
}

const char *auth_bootstrap_sql(void)
{
    return sql_auth_bootstrap;
}
