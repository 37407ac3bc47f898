/* Who may do what in which tenant. Identities come from certificates, rights from PostgreSQL.
 *
 * Schema "platform": tenants (with "default"), identities, under forced row-level security.
 * Roles are sets of permissions, static tables of this library.
 */
#ifndef HF_AUTH_AUTH_H
#define HF_AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/status.h"
#include "db/db.h"
#include "db/migrate.h"

#define AUTH_DEFAULT_TENANT "default"

/* The caller as its certificate names it: spiffe://<install>/<kind>/<name>. */
struct auth_peer {
    const char *kind; /* "client", "service", "agent" */
    const char *name;
};

/* Parse a SPIFFE URI of this installation.
 * Errors   UNAUTHENTICATED: another installation, unknown kind, malformed */
struct hf_status auth_peer_parse(struct hf_arena *arena, const char *uri, const char *install_id,
                                 struct auth_peer *ret_peer) HF_MUST_USE;

/* What an authorised call carries on. Texts in ctx->arena. */
struct auth_grant {
    const char *tenant_id;   /* UUID text, for db_tx_begin */
    const char *tenant_name; /* "default" */
    const char *principal;   /* "client/alice", for jobs and audit */
    const char *role;
    bool is_operator; /* an admin of the installation: ask auth_may_touch (operator.h) */
};

/* May peer do permission in the tenant called tenant_name?
 *
 * permission  "<resource>.<verb>": "clusters.create", "backups.get", "jobs.cancel". Verbs get, list
 *             and watch are reading.
 * Errors   PERMISSION_DENIED reason IDENTITY_UNKNOWN (no tenant knows the peer), IDENTITY_DENIED,
 *          PERMISSION_MISSING (metadata permission, role);
 *          NOT_FOUND "tenant <name> not found": no such tenant, or the peer is not in it: the two
 *          replies are equal;
 *          UNAVAILABLE
 * Threads  any. */
struct hf_status auth_authorize(struct hf_ctx *ctx, struct db *db, const struct auth_peer *peer,
                                const char *tenant_name, const char *permission,
                                struct auth_grant *ret_grant) HF_MUST_USE;

/* Does the role (by name) include the permission? Pure. Roles: admin, operator, viewer. */
bool auth_role_allows(const char *role, const char *permission);
bool auth_role_exists(const char *role);

/* Write (or change) an identity's role in a tenant; also lifts a denial. For `certs issue`.
 * Errors   NOT_FOUND tenant; INVALID_ARGUMENT kind, name or role */
struct hf_status auth_identity_put(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                   const struct auth_peer *peer, const char *role) HF_MUST_USE;
/* What an identity may do in a tenant now.
 *
 * ret_role         NULL: it is not in the tenant
 * ret_is_operator  whether it is an admin of the installation
 * Errors   NOT_FOUND tenant */
struct hf_status auth_identity_get(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                   const struct auth_peer *peer, const char **ret_role,
                                   bool *ret_is_operator) HF_MUST_USE;
/* Deny an identity (revoked certificate): checked on every call. NOT_FOUND when unknown. */
struct hf_status auth_identity_deny(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                    const struct auth_peer *peer) HF_MUST_USE;

/* UUID text of a tenant, for trusted callers (start-up, workers). NOT_FOUND. */
struct hf_status auth_tenant_id(struct hf_ctx *ctx, struct db *db, const char *tenant_name,
                                const char **ret_tenant_id) HF_MUST_USE;
/* Name of a tenant by its UUID text. NOT_FOUND. */
struct hf_status auth_tenant_name(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                                  const char **ret_name) HF_MUST_USE;
struct auth_tenant {
    const char *id;
    const char *name;
};
/* All tenants, by name: for receivers and start-up loops of a service. ret in ctx->arena. */
struct hf_status auth_tenant_list(struct hf_ctx *ctx, struct db *db,
                                  const struct auth_tenant **ret_tenants,
                                  size_t *ret_len) HF_MUST_USE;
/* Make a tenant; ALREADY_EXISTS. Runs on a DB_OWNER pool. */
struct hf_status auth_tenant_create(struct hf_ctx *ctx, struct db *owner_db,
                                    const char *tenant_name,
                                    const char **ret_tenant_id) HF_MUST_USE;

/* Schema "platform", component "auth", for db_migrate: before all others. */
struct db_schema auth_schema(void);

/* Idempotent SQL that a superuser runs once per database with db_bootstrap: roles
 * holdfast_owner (NOLOGIN), holdfast_migrate, holdfast_app, holdfast_dispatch, and their right to
 * connect. The database itself ("holdfast") must exist. Static text. */
const char *auth_bootstrap_sql(void);

#endif
