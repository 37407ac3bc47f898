/* The role that serves requests cannot do this: it is done as the owner of the schema. */
#include "cli/supervise/operators.h"

#include "auth/operator.h"

struct hf_status operators_set(struct hf_ctx *ctx, const struct place *place, const char *name,
                               bool is_operator)
{
    const struct db_options options = {
        .conninfo = place_conninfo(ctx->arena, place, "holdfast_migrate", "holdfast"),
        .role = DB_OWNER,
        .schema = "platform",
        .application_name = "holdfast-operators"};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);
    const struct auth_peer peer = {"client", name};

    return is_operator ? auth_operator_put(ctx, db, &peer) : auth_operator_remove(ctx, db, &peer);
}

struct hf_status operators_keep_local(struct hf_ctx *ctx, const struct place *place)
{
    const struct db_options options = {
        .conninfo = place_conninfo(ctx->arena, place, "holdfast_app", "holdfast"),
        .role = DB_APP,
        .schema = "platform",
        .application_name = "holdfast-up"};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);
    const struct auth_peer peer = {"client", AUTH_LOCAL_NAME};

    HF_TRY(operators_set(ctx, place, peer.name, true));
    return auth_identity_put(ctx, db, AUTH_DEFAULT_TENANT, &peer, "admin");
}
