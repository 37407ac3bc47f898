/* Admins of the installation. */
#include "auth/operator.h"

#include "auth/queries_sql.h"
#include "base/check.h"
#include "base/str.h"

static const char *const names[AUTH_MACHINE_LEN] = {
    [AUTH_LOOPBACK] = "loopback",
    [AUTH_SOCKETS] = "UNIX sockets",
    [AUTH_FILES] = "files",
    [AUTH_OWN_CREDENTIALS] = "the services' own credentials",
    [AUTH_STATE_DATABASE] = "the state database",
};

const char *auth_machine_name(enum auth_machine what)
{
    HF_CHECK(what < AUTH_MACHINE_LEN);
    return names[what];
}

bool auth_may_touch(const struct auth_grant *grant, enum auth_machine what)
{
    HF_CHECK(what < AUTH_MACHINE_LEN);
    return grant->is_operator;
}

static struct hf_status write_one(struct hf_ctx *ctx, struct db *owner_db, const char *sql,
                                  const struct auth_peer *peer)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    if (!hf_is_name(peer->name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "%s is no name: expected [a-z][a-z0-9-]{0,39}", peer->name);
    }
    HF_TRY(db_system_begin(ctx, owner_db, &tx));
    HF_TRY(db_exec(ctx, tx, sql, DB_ARGS(DB_TEXT(peer->kind), DB_TEXT(peer->name)), NULL));
    return db_tx_commit(ctx, &tx);
}

struct hf_status auth_operator_put(struct hf_ctx *ctx, struct db *owner_db,
                                   const struct auth_peer *peer)
{
    return write_one(ctx, owner_db, sql_auth_operator_put, peer);
}

struct hf_status auth_operator_remove(struct hf_ctx *ctx, struct db *owner_db,
                                      const struct auth_peer *peer)
{
    return write_one(ctx, owner_db, sql_auth_operator_remove, peer);
}
