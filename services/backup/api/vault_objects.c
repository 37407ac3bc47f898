/* Sealed bytes for a restore. A reader gets objects of one cluster only, each with the secret that
 * opens that object alone; realm keys never leave. */
#include <string.h>

#include "backup/api/api.h"
#include "backup/api/cluster_seen.h"
#include "backup/api/convert.h"
#include "backup/api/handlers.h"
#include "backup/domain/names.h"
#include "backup/store/clusters.h"
#include "base/str.h"
#include "rpc/message.h"
#include "vault/object.h"

#define LIST_MAX 1000u
#define CHUNK_BYTES (1u << 20)

struct hf_status api_load_source(struct hf_ctx *ctx, struct api_thread *thread, const char *parent,
                                 struct source *ret_source)
{
    struct resource_name name;

    HF_TRY(name_parse(ctx->arena, "parent", parent, NAME_CLUSTER, &name));
    HF_TRY(source_load_name(ctx, thread->app, thread->grant.tenant_id, name.cluster, ret_source));
    return clusters_usable(ctx->arena, &ret_source->row);
}

/* The same for what does not exist and for what belongs to somebody else. */
static struct hf_status no_object(struct hf_ctx *ctx, const struct source *source)
{
    const char *const metadata[] = {"cluster", source->row.name, NULL};

    return hf_fail_info(ctx->arena, HF_NOT_FOUND, "OBJECT_NOT_FOUND", metadata,
                        "cluster %s has no object of that name", source->row.name);
}

/* Within the cluster's own prefix, or NOT_FOUND. */
static struct hf_status check_inside(struct hf_ctx *ctx, const struct source *source,
                                     const char *object)
{
    const char *prefix = hf_printf(ctx->arena, "%s/", source->prefix);

    if (!hf_has_prefix(object, prefix) || strstr(object, "..") != NULL) {
        return no_object(ctx, source);
    }
    return hf_success();
}

static void fill_keys(struct hf_ctx *ctx, const struct source *source,
                      PbBackup__ListVaultObjectsResponse *list)
{
    size_t count = 0;
    const uint8_t *keys = vault_keyring_verifying_keys(source->keyring, &count);

    list->verifying_keys = HF_NEW_N(ctx->arena, ProtobufCBinaryData, count + 1);
    list->n_verifying_keys = count;
    for (size_t i = 0; i < count; i++) {
        list->verifying_keys[i] = (ProtobufCBinaryData){
            VAULT_KEY_LEN, hf_dup(ctx->arena, keys + i * VAULT_KEY_LEN, VAULT_KEY_LEN)};
    }
    list->source_prefix = convert_text(ctx->arena, source->prefix);
}

API_UNARY(api_list_vault_objects)
{
    const PbBackup__ListVaultObjectsRequest *want = req;
    PbBackup__ListVaultObjectsResponse *list = resp;
    struct api_thread *thread = app;
    struct source source;
    struct objstore_page page;

    (void)peer;
    HF_TRY(api_load_source(ctx, thread, want->parent, &source));
    fill_keys(ctx, &source, list);
    const char *prefix =
        hf_text_empty(want->prefix) ? hf_printf(ctx->arena, "%s/", source.prefix) : want->prefix;

    HF_TRY(check_inside(ctx, &source, prefix));
    HF_TRY(objstore_list(ctx, thread->app->vault, prefix,
                         hf_text_empty(want->after) ? NULL : want->after, LIST_MAX, &page));
    list->objects =
        HF_NEW_N(ctx->arena, PbBackup__ListVaultObjectsResponse__Object *, page.len + 1);
    list->n_objects = page.len;
    list->is_complete = page.is_complete;
    for (size_t i = 0; i < page.len; i++) {
        list->objects[i] = rpc_message_new(
            ctx->arena, &pb_backup__list_vault_objects_response__object__descriptor);
        list->objects[i]->name = convert_text(ctx->arena, page.entries[i].name);
        list->objects[i]->size_bytes = (int64_t)page.entries[i].size_bytes;
    }
    return hf_success();
}

/* --- reading -------------------------------------------------------------------------------- */

struct read_state {
    struct objstore *store; /* borrowed of the app */
    char *object;
    uint64_t position;
    uint64_t end;
    uint64_t size;
    bool is_first;
    uint8_t secret[VAULT_KEY_LEN];
};

static struct hf_status read_open(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                  const void *req, void **ret_state)
{
    const PbBackup__ReadVaultObjectRequest *want = req;
    struct api_thread *thread = app;
    struct source source;
    struct read_state state = {.store = thread->app->vault, .is_first = true};

    (void)peer;
    HF_TRY(api_load_source(ctx, thread, want->parent, &source));
    HF_TRY(check_inside(ctx, &source, want->object));
    struct hf_status found = objstore_head(ctx, state.store, want->object, &state.size);

    if (found.code == HF_NOT_FOUND) {
        return no_object(ctx, &source);
    }
    HF_TRY(found);
    if (want->offset < 0 || want->length < 0 || (uint64_t)want->offset > state.size ||
        (uint64_t)want->length > state.size - (uint64_t)want->offset) {
        return hf_fail_info(ctx->arena, HF_OUT_OF_RANGE, "RANGE", NULL,
                            "offset and length must lie within the object's %llu bytes",
                            (unsigned long long)state.size);
    }
    HF_TRY(vault_object_secret(ctx, state.store, source.keyring, want->object, state.secret));
    state.position = (uint64_t)want->offset;
    state.end = want->length == 0 ? state.size : state.position + (uint64_t)want->length;
    state.object = hf_heap_strdup(want->object);
    struct read_state *kept = hf_heap_alloc(sizeof(*kept));

    *kept = state;
    explicit_bzero(state.secret, sizeof(state.secret));
    *ret_state = kept;
    return hf_success();
}

static struct hf_status read_next(struct hf_ctx *ctx, void *app, void *arg, void *resp,
                                  bool *ret_more)
{
    struct read_state *state = arg;
    PbBackup__ReadVaultObjectResponse *reply = resp;
    uint64_t left = state->end - state->position;
    size_t len = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

    (void)app;
    *ret_more = state->is_first || len > 0;
    if (state->is_first) {
        reply->size_bytes = (int64_t)state->size;
        reply->secret =
            (ProtobufCBinaryData){VAULT_KEY_LEN, hf_dup(ctx->arena, state->secret, VAULT_KEY_LEN)};
        state->is_first = false;
    }
    if (len > 0) {
        uint8_t *bytes = hf_alloc(ctx->arena, len);

        HF_TRY(objstore_read(ctx, state->store, state->object, state->position, len, bytes));
        reply->data = (ProtobufCBinaryData){len, bytes};
        state->position += len;
    }
    return hf_success();
}

static void read_close(void *app, void *arg)
{
    struct read_state *state = arg;

    (void)app;
    explicit_bzero(state->secret, sizeof(state->secret));
    hf_heap_free(state->object);
    hf_heap_free(state);
}

const struct rpc_pull api_read_vault_object = {
    .open = read_open, .next = read_next, .close = read_close};
