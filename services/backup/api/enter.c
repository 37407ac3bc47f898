/* Before every handler: whose request is it, and may it? The tenant stands in the request's name or
 * parent, never in metadata, so that what is authorised is what is touched. */
#include "backup/api/api.h"
#include "backup/domain/names.h"
#include "base/str.h"

void *api_thread_init(void *app)
{
    struct api_thread *thread = hf_heap_alloc(sizeof(*thread));

    thread->app = app;
    return thread;
}

void api_thread_done(void *app, void *thread_app)
{
    (void)app;
    hf_heap_free(thread_app);
}

/* Value of the request's field name or parent, NULL when it has neither. */
static const char *resource_of(const ProtobufCMessage *message)
{
    static const char *const fields[] = {"name", "parent"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(message->descriptor, fields[i]);

        if (field != NULL && field->type == PROTOBUF_C_TYPE_STRING &&
            field->label != PROTOBUF_C_LABEL_REPEATED) {
            const char *const *value = (const void *)((const uint8_t *)message + field->offset);
            return *value;
        }
    }
    return NULL;
}

static struct hf_status tenant_of(struct hf_ctx *ctx, const void *req, const char **ret_tenant)
{
    const char *resource = resource_of(req);
    const size_t prefix = sizeof("tenants/") - 1;

    if (resource == NULL || !hf_has_prefix(resource, "tenants/")) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_NAME", NULL,
                            "name or parent must begin with tenants/{tenant}");
    }
    size_t len = 0;
    while (resource[prefix + len] != '\0' && resource[prefix + len] != '/') {
        len++;
    }
    const char *tenant = hf_strndup(ctx->arena, resource + prefix, len);

    if (!hf_is_name(tenant)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_NAME", NULL,
                            "name or parent must begin with tenants/{tenant}");
    }
    *ret_tenant = tenant;
    return hf_success();
}

struct hf_status api_authorize(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                               const struct rpc_method *method, const void *req)
{
    struct api_thread *thread = app;
    const char *tenant = NULL;
    const struct auth_peer who = {rpc_peer_kind_name(peer->kind), peer->name};

    HF_TRY(tenant_of(ctx, req, &tenant));
    return auth_authorize(ctx, thread->app->db, &who, tenant, method->permission, &thread->grant);
}
