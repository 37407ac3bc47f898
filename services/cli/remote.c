/* The vault through the service. The surprise: an object's secret comes with its bytes, so the
 * keyring looks it up by the pack's id in what has been read; the store remembers it from the first
 * message of each read and, for packs whose header was seen elsewhere, nothing has to be asked
 * twice. */
#include "cli/remote.h"

#include <string.h>

#include "base/map.h"
#include "base/pool.h"
#include "base/str.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "rpc/message.h"
#include "vault/object.h"

struct secret {
    uint8_t bytes[VAULT_KEY_LEN];
};

struct remote_store {
    struct objstore base; /* first: the store is its base */
    struct hf_lock secrets_lock;
    struct hf_map *secrets; /* hex pack id → struct secret */
    struct hf_map *known;   /* object name → this, when its secret is in secrets */

    struct rpc_client *client;
    char *cluster;
};

static struct remote_store *of(struct objstore *store)
{
    return (struct remote_store *)(void *)store;
}

/* --- secrets -------------------------------------------------------------------------------- */

static void remember(struct remote_store *remote, struct hf_arena *arena, const char *object,
                     const uint8_t id[VAULT_ID_LEN], ProtobufCBinaryData bytes)
{
    const char *key = hf_hex(arena, id, VAULT_ID_LEN);

    hf_lock_take(&remote->secrets_lock);
    if (hf_map_get(remote->secrets, key) == NULL) {
        struct secret *secret = hf_heap_alloc(sizeof(*secret));

        memcpy(secret->bytes, bytes.data, VAULT_KEY_LEN);
        (void)hf_map_put(remote->secrets, key, secret);
    }
    (void)hf_map_put(remote->known, object, remote); /* any value: it is a set */
    hf_lock_release(&remote->secrets_lock);
}

static bool is_known(struct remote_store *remote, const char *object)
{
    hf_lock_take(&remote->secrets_lock);
    bool is_there = hf_map_get(remote->known, object) != NULL;
    hf_lock_release(&remote->secrets_lock);
    return is_there;
}

static struct hf_status find_secret(struct hf_ctx *ctx, void *arg,
                                    const struct vault_pack_header *header,
                                    uint8_t ret_secret[VAULT_KEY_LEN])
{
    struct remote_store *remote = arg;
    const char *key = hf_hex(ctx->arena, header->id, VAULT_ID_LEN);

    hf_lock_take(&remote->secrets_lock);
    const struct secret *secret = hf_map_get(remote->secrets, key);

    if (secret != NULL) {
        memcpy(ret_secret, secret->bytes, VAULT_KEY_LEN);
    }
    hf_lock_release(&remote->secrets_lock);
    return secret != NULL
               ? hf_success()
               : hf_fail(ctx->arena, HF_DATA_LOSS, "the key of pack %s was not given", key);
}

/* --- one read ------------------------------------------------------------------------------- */

struct range {
    const char *name;
    uint64_t offset;
    uint64_t len; /* 0: to the end; then bytes is NULL and only size is wanted */
    uint8_t *bytes;
    uint64_t size; /* of the object, set */
    uint8_t first[VAULT_OBJECT_FIRST];
    size_t first_len;
    uint8_t secret[VAULT_KEY_LEN];
    bool has_secret;
};

static struct hf_status take_message(struct hf_ctx *ctx, struct range *range, uint64_t *done,
                                     const PbBackup__ReadVaultObjectResponse *message)
{
    if (message->secret.len == VAULT_KEY_LEN) {
        memcpy(range->secret, message->secret.data, VAULT_KEY_LEN);
        range->has_secret = true;
        range->size = (uint64_t)message->size_bytes;
    }
    if (message->data.len > range->len - *done) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s: the service sent more than was asked for",
                       range->name);
    }
    if (message->data.len > 0) {
        memcpy(range->bytes + *done, message->data.data, message->data.len);
        *done += message->data.len;
    }
    return hf_success();
}

static struct hf_status read_range(struct hf_ctx *ctx, struct remote_store *remote,
                                   struct range *range)
{
    static const struct rpc_method_ref method = {&pb_backup__backup_service__descriptor,
                                                 "ReadVaultObject", true};
    PbBackup__ReadVaultObjectRequest req = PB_BACKUP__READ_VAULT_OBJECT_REQUEST__INIT;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    struct hf_ctx step = *ctx;
    uint64_t done = 0;

    step.arena = arena;
    req.parent = remote->cluster;
    req.object = hf_strdup(arena, range->name);
    req.offset = (int64_t)range->offset;
    req.length = (int64_t)range->len;
    HF_TRY(rpc_reader_open(ctx, remote->client, &method, &req.base, &reader));
    for (;;) {
        void *message = NULL;

        hf_arena_reset(arena);
        struct hf_status status = rpc_reader_next(&step, reader, &message);

        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
        if (message == NULL) {
            break;
        }
        HF_TRY(take_message(ctx, range, &done, message));
    }
    if (done != range->len) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "%s: the stream ended early", range->name);
    }
    return hf_success();
}

/* The first bytes of an object tell whose pack it is; they are read once per object. */
static struct hf_status learn(struct hf_ctx *ctx, struct remote_store *remote, const char *name,
                              uint64_t *ret_size)
{
    struct range range = {.name = name, .len = 1};
    struct vault_pack_header header;

    range.bytes = range.first;
    HF_TRY(read_range(ctx, remote, &range)); /* tells the size and the secret */
    range.len = range.size < sizeof(range.first) ? range.size : sizeof(range.first);
    HF_TRY(read_range(ctx, remote, &range));
    HF_TRY(vault_object_header(ctx->arena, name, (struct hf_bytes){range.first, (size_t)range.len},
                               &header));
    const ProtobufCBinaryData secret = {VAULT_KEY_LEN, range.secret};

    remember(remote, ctx->arena, name, header.id, secret);
    explicit_bzero(range.secret, sizeof(range.secret));
    *ret_size = range.size;
    return hf_success();
}

/* --- the store ------------------------------------------------------------------------------ */

static struct hf_status remote_put(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                   struct hf_bytes bytes)
{
    (void)store;
    (void)bytes;
    return hf_fail(ctx->arena, HF_UNIMPLEMENTED, "%s: a vault read for a restore is read-only",
                   name);
}

static struct hf_status remote_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t *ret_size)
{
    return learn(ctx, of(store), name, ret_size);
}

static struct hf_status remote_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t offset, size_t len, void *ret_bytes)
{
    struct remote_store *remote = of(store);
    struct range range = {.name = name, .offset = offset, .len = len, .bytes = ret_bytes};
    uint64_t size = 0;

    if (len == 0) {
        return hf_success();
    }
    if (!is_known(remote, name)) {
        HF_TRY(learn(ctx, remote, name, &size));
    }
    HF_TRY(read_range(ctx, remote, &range));
    explicit_bzero(range.secret, sizeof(range.secret));
    return hf_success();
}

static struct hf_status ask_list(struct hf_ctx *ctx, struct remote_store *remote,
                                 const char *prefix, const char *after,
                                 PbBackup__ListVaultObjectsResponse **ret_list)
{
    static const struct rpc_method_ref method = {&pb_backup__backup_service__descriptor,
                                                 "ListVaultObjects", true};
    PbBackup__ListVaultObjectsRequest req = PB_BACKUP__LIST_VAULT_OBJECTS_REQUEST__INIT;
    void *resp = NULL;

    req.parent = remote->cluster;
    req.prefix = hf_strdup(ctx->arena, prefix);
    req.after = hf_strdup(ctx->arena, after == NULL ? "" : after);
    HF_TRY(rpc_call(ctx, remote->client, &method, &req.base, &resp));
    *ret_list = resp;
    return hf_success();
}

static struct hf_status remote_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                    const char *after, size_t max, struct objstore_page *ret_page)
{
    PbBackup__ListVaultObjectsResponse *list = NULL;

    HF_TRY(ask_list(ctx, of(store), prefix, after, &list));
    size_t len = list->n_objects < max ? list->n_objects : max;
    struct objstore_entry *entries = HF_NEW_N(ctx->arena, struct objstore_entry, len + 1);

    for (size_t i = 0; i < len; i++) {
        entries[i] =
            (struct objstore_entry){list->objects[i]->name, (uint64_t)list->objects[i]->size_bytes};
    }
    *ret_page = (struct objstore_page){
        .entries = entries, .len = len, .is_complete = list->is_complete && len == list->n_objects};
    return hf_success();
}

static struct hf_status remote_remove(struct hf_ctx *ctx, struct objstore *store, const char *name)
{
    return remote_put(ctx, store, name, (struct hf_bytes){0});
}

static bool wipe_secret(const char *key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    explicit_bzero(value, sizeof(struct secret));
    hf_heap_free(value);
    return true;
}

static void remote_free(struct objstore *store)
{
    struct remote_store *remote = of(store);

    hf_map_each(remote->secrets, wipe_secret, NULL);
    hf_map_free(remote->secrets);
    hf_map_free(remote->known);
    hf_lock_done(&remote->secrets_lock);
    hf_heap_free(remote->cluster);
    hf_heap_free(remote);
}

static const struct objstore_ops remote_ops = {
    .kind = "remote",
    .put = remote_put,
    .head = remote_head,
    .read = remote_read,
    .list = remote_list,
    .remove = remote_remove,
    .free = remote_free,
};

/* --- open, close ---------------------------------------------------------------------------- */

static struct hf_status first_look(struct hf_ctx *ctx, struct remote_store *store,
                                   struct remote *ret_remote)
{
    PbBackup__ListVaultObjectsResponse *list = NULL;

    HF_TRY(ask_list(ctx, store, "", NULL, &list));
    uint8_t *keys = hf_alloc(ctx->arena, (list->n_verifying_keys + 1) * VAULT_KEY_LEN);

    for (size_t i = 0; i < list->n_verifying_keys; i++) {
        if (list->verifying_keys[i].len != VAULT_KEY_LEN) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "the service sent a malformed key");
        }
        memcpy(keys + i * VAULT_KEY_LEN, list->verifying_keys[i].data, VAULT_KEY_LEN);
    }
    ret_remote->source_prefix = list->source_prefix;
    ret_remote->keyring = vault_keyring_borrowed((struct vault_secret_source){find_secret, store},
                                                 keys, list->n_verifying_keys);
    return hf_success();
}

struct hf_status remote_open(struct hf_ctx *ctx, struct rpc_client *client, const char *cluster,
                             struct remote *ret_remote)
{
    struct remote_store *store = hf_heap_alloc(sizeof(*store));
    struct remote remote = {.store = &store->base};

    store->base.ops = &remote_ops;
    hf_lock_init(&store->secrets_lock);
    store->secrets = hf_map_new();
    store->known = hf_map_new();
    store->client = client;
    store->cluster = hf_heap_strdup(cluster);
    struct hf_status status = first_look(ctx, store, &remote);

    if (!hf_is_ok(status)) {
        objstore_free(remote.store);
        return status;
    }
    *ret_remote = remote;
    return hf_success();
}

void remote_close(struct remote *remote)
{
    vault_keyring_free(remote->keyring);
    objstore_free(remote->store);
    *remote = (struct remote){0};
}
