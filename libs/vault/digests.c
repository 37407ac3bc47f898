/* Reading the digest cache. A cache that cannot be trusted is an absent one: the caller rebuilds.
 */
#include "vault/digests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/fd.h"
#include "codec/wire.h"
#include "vault/digests_file.h"

#define SLOTS 4
#define ARENA_MAX (256u << 20)
#define TEXT_MAX 1024u
#define VOLUME_NAME "digests"

/* A volume as an object, so that pack reading is the same code: a window of the file. */
struct window {
    struct objstore store; /* first: the functions below get it back from this */
    int fd;
    uint64_t offset;
    uint64_t len;
};

struct volume {
    struct window window;
    struct vault_pack pack;
};

struct slot {
    uint64_t blob;
    uint64_t used; /* tick of the last use; 0: empty */
    uint8_t *bytes;
    size_t len;
};

struct vault_digests {
    const struct vault_keyring *keyring;
    struct hf_arena *arena; /* packs, and errors of reading until they are copied */
    int fd;
    struct volume *volumes; /* heap */
    size_t volumes_len;
    struct vault_blob_reader *reader;
    uint64_t digests;
    uint64_t digest_blobs;
    struct vault_digests_file *files; /* heap, sorted by key */
    size_t files_len;
    struct slot slots[SLOTS];
    uint64_t tick;
};

static struct hf_status window_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t *ret_size)
{
    const struct window *window = (const struct window *)store;

    (void)ctx;
    (void)name;
    *ret_size = window->len;
    return hf_success();
}

static struct hf_status window_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t offset, size_t len, void *ret_bytes)
{
    const struct window *window = (const struct window *)store;
    size_t got = 0;

    if (offset > window->len || len > window->len - offset) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "%s ends before byte %llu", name,
                       (unsigned long long)offset);
    }
    HF_TRY(
        hf_pread_full(ctx->arena, window->fd, ret_bytes, len, window->offset + offset, name, &got));
    if (got < len) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is cut short", name);
    }
    return hf_success();
}

static const struct objstore_ops window_ops = {
    .kind = "window", .head = window_head, .read = window_read};

void vault_digests_free(struct vault_digests *digests)
{
    if (digests == NULL) {
        return;
    }
    if (digests->fd >= 0) {
        close(digests->fd);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        hf_heap_free(digests->slots[i].bytes);
    }
    vault_blob_reader_free(digests->reader);
    hf_heap_free(digests->volumes);
    hf_heap_free(digests->files);
    hf_arena_free(digests->arena);
    hf_heap_free(digests);
}

static struct hf_status damaged(struct hf_ctx *ctx, const char *path)
{
    return hf_fail(ctx->arena, HF_DATA_LOSS, "digest cache %s is damaged", path);
}

static struct hf_status read_exact(struct hf_ctx *ctx, int fd, const char *path, uint64_t offset,
                                   void *ret_bytes, size_t len)
{
    size_t got = 0;

    HF_TRY(hf_pread_full(ctx->arena, fd, ret_bytes, len, offset, path, &got));
    return got == len ? hf_success() : damaged(ctx, path);
}

/* The directory at the end of the file says where the volumes are. */
static struct hf_status open_directory(struct hf_ctx *ctx, struct vault_digests *digests,
                                       const char *path)
{
    uint8_t tail[8];
    struct stat st;
    uint64_t offset = 0;

    if (fstat(digests->fd, &st) != 0) {
        return hf_fail_errno(ctx->arena, errno, "reading %s", path);
    }
    uint64_t size = (uint64_t)st.st_size;
    if (size < sizeof(tail)) {
        return damaged(ctx, path);
    }
    HF_TRY(read_exact(ctx, digests->fd, path, size - sizeof(tail), tail, sizeof(tail)));
    struct codec_wire wire = codec_wire_open(tail, sizeof(tail));
    uint32_t count = codec_wire_get_be32(&wire);
    uint64_t left = size - sizeof(tail);
    if (memcmp(tail + 4, CACHE_MAGIC, 4) != 0 || count == 0 || count > CACHE_VOLUMES_MAX ||
        left < (uint64_t)count * 8) {
        return damaged(ctx, path);
    }
    left -= (uint64_t)count * 8;
    uint8_t *lengths = hf_alloc_n(ctx->arena, count, 8);
    HF_TRY(read_exact(ctx, digests->fd, path, left, lengths, (size_t)count * 8));
    wire = codec_wire_open(lengths, (size_t)count * 8);
    digests->volumes = hf_heap_alloc(count * sizeof(digests->volumes[0]));
    digests->volumes_len = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t len = codec_wire_get_be64(&wire);
        if (len > left - offset) {
            return damaged(ctx, path);
        }
        digests->volumes[i].window = (struct window){{&window_ops}, digests->fd, offset, len};
        offset += len;
    }
    return offset == left ? hf_success() : damaged(ctx, path);
}

static struct hf_status open_volumes(struct hf_ctx *ctx, struct vault_digests *digests,
                                     const char *path)
{
    for (size_t i = 0; i < digests->volumes_len; i++) {
        struct volume *volume = &digests->volumes[i];
        HF_TRY(vault_pack_open(ctx, &volume->window.store, digests->keyring, VOLUME_NAME,
                               &volume->pack));
        bool is_last = i + 1 == digests->volumes_len;
        if (volume->pack.header.kind != VAULT_PACK_CACHE || volume->pack.blobs_len == 0 ||
            (!is_last && volume->pack.blobs_len != CACHE_VOLUME_BLOBS)) {
            return damaged(ctx, path);
        }
    }
    return hf_success();
}

static struct hf_status read_blob(struct hf_ctx *ctx, struct vault_digests *digests, uint64_t blob,
                                  struct hf_bytes *ret_plain)
{
    uint64_t at = blob / CACHE_VOLUME_BLOBS;

    HF_CHECK(at < digests->volumes_len);
    struct volume *volume = &digests->volumes[at];
    HF_CHECK(blob % CACHE_VOLUME_BLOBS < volume->pack.blobs_len);
    return vault_blob_read(ctx, &volume->window.store, digests->keyring, &volume->pack,
                           (size_t)(blob % CACHE_VOLUME_BLOBS), false, digests->reader, ret_plain);
}

static uint64_t blobs_total(const struct vault_digests *digests)
{
    size_t last = digests->volumes_len - 1;

    return (uint64_t)last * CACHE_VOLUME_BLOBS + digests->volumes[last].pack.blobs_len;
}

/* Names of the volumes as the foot has them. */
static bool is_same_volumes(const struct vault_digests *digests, struct hf_bytes ids)
{
    if (ids.len != digests->volumes_len * VAULT_ID_LEN) {
        return false;
    }
    for (size_t i = 0; i < digests->volumes_len; i++) {
        if (memcmp(ids.ptr + i * VAULT_ID_LEN, digests->volumes[i].pack.header.id, VAULT_ID_LEN) !=
            0) {
            return false;
        }
    }
    return true;
}

static struct hf_status open_foot(struct hf_ctx *ctx, struct vault_digests *digests,
                                  const char *path, const char *backup_id, uint64_t *ret_index)
{
    struct hf_bytes plain;
    uint64_t blobs = blobs_total(digests);

    HF_TRY(read_blob(ctx, digests, blobs - 1, &plain));
    struct codec_wire wire = codec_wire_open(plain.ptr, plain.len);
    uint8_t version = codec_wire_get_u8(&wire);
    const char *id = codec_wire_get_text(&wire, ctx->arena, TEXT_MAX);
    digests->digests = codec_wire_get_u64(&wire);
    digests->digest_blobs = codec_wire_get_max(&wire, blobs);
    uint64_t index_blobs = codec_wire_get_max(&wire, blobs);
    uint64_t files = codec_wire_get_max(&wire, index_blobs * CACHE_BLOB_FILES);
    struct hf_bytes ids = codec_wire_get_bytes(&wire, VAULT_BLOB_MAX);
    HF_TRY(codec_wire_finish(&wire, ctx->arena, path));
    if (strcmp(id, backup_id) != 0) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "digest cache %s describes backup %s, not %s",
                       path, id, backup_id);
    }
    if (version != CACHE_VERSION || digests->digest_blobs + index_blobs + 1 != blobs ||
        (digests->digests + CACHE_BLOB_DIGESTS - 1) / CACHE_BLOB_DIGESTS != digests->digest_blobs ||
        !is_same_volumes(digests, ids)) {
        return damaged(ctx, path);
    }
    digests->files = hf_heap_alloc((files + 1) * sizeof(digests->files[0]));
    digests->files_len = files;
    *ret_index = index_blobs;
    return hf_success();
}

static bool decode_file(struct codec_wire *wire, const struct vault_digests *digests,
                        struct vault_digests_file *file)
{
    codec_wire_get_raw(wire, file->key, VAULT_ID_LEN);
    codec_wire_get_raw(wire, file->attrs, VAULT_ATTR_LEN);
    file->first = codec_wire_get_be64(wire);
    file->pages = codec_wire_get_be32(wire);
    file->is_seen = false;
    return wire->fault == NULL && file->first <= digests->digests &&
           file->pages <= digests->digests - file->first;
}

static struct hf_status open_index(struct hf_ctx *ctx, struct vault_digests *digests,
                                   const char *path, uint64_t index_blobs)
{
    struct hf_bytes plain;
    size_t at = 0;

    for (uint64_t i = 0; i < index_blobs; i++) {
        HF_TRY(read_blob(ctx, digests, digests->digest_blobs + i, &plain));
        struct codec_wire wire = codec_wire_open(plain.ptr, plain.len);
        while (codec_wire_left(&wire) > 0) {
            struct vault_digests_file *file = &digests->files[at];
            if (at == digests->files_len || !decode_file(&wire, digests, file) ||
                (at > 0 && memcmp(file[-1].key, file->key, VAULT_ID_LEN) >= 0)) {
                return damaged(ctx, path);
            }
            at++;
        }
    }
    return at == digests->files_len ? hf_success() : damaged(ctx, path);
}

static struct hf_status open_all(struct hf_ctx *ctx, struct vault_digests *digests,
                                 const char *path, const char *backup_id)
{
    uint64_t index_blobs = 0;

    HF_TRY(open_directory(ctx, digests, path));
    HF_TRY(open_volumes(ctx, digests, path));
    HF_TRY(open_foot(ctx, digests, path, backup_id, &index_blobs));
    return open_index(ctx, digests, path, index_blobs);
}

static struct hf_status open_one(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                 const char *path, const char *backup_id,
                                 struct vault_digests **ret_digests)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    HF_CLEANUP(vault_digests_free) struct vault_digests *digests = hf_heap_alloc(sizeof(*digests));
    digests->keyring = keyring;
    digests->arena = hf_arena_new(ARENA_MAX);
    digests->fd = fd;
    digests->reader = vault_blob_reader_new();
    struct hf_ctx own = *ctx;
    own.arena = digests->arena;
    struct hf_status status = open_all(&own, digests, path, backup_id);
    if (!hf_is_ok(status)) {
        return hf_status_copy(ctx->arena, status);
    }
    *ret_digests = HF_TAKE(digests);
    return hf_success();
}

struct hf_status vault_digests_open(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                    const char *path, const char *backup_id,
                                    struct vault_digests **ret_digests)
{
    struct hf_status status = open_one(ctx, keyring, path, backup_id, ret_digests);

    if (hf_is_ok(status)) {
        return status;
    }
    const char *next = vault_digests_next_path(ctx->arena, path);
    if (!hf_is_ok(open_one(ctx, keyring, next, backup_id, ret_digests))) {
        return status;
    }
    /* The last session finished, its journal entry exists, only the rename is missing. */
    struct hf_status renamed = vault_digests_commit(ctx, path);
    if (!hf_is_ok(renamed)) {
        vault_digests_free(HF_TAKE(*ret_digests));
    }
    return renamed;
}

static int compare_key(const void *key, const void *file)
{
    return memcmp(key, ((const struct vault_digests_file *)file)->key, VAULT_ID_LEN);
}

struct vault_digests_file *vault_digests_find(struct vault_digests *digests,
                                              const uint8_t key[VAULT_ID_LEN])
{
    if (digests->files_len == 0) {
        return NULL;
    }
    return bsearch(key, digests->files, digests->files_len, sizeof(digests->files[0]), compare_key);
}

const struct vault_digests_file *vault_digests_files(const struct vault_digests *digests,
                                                     size_t *ret_len)
{
    *ret_len = digests->files_len;
    return digests->files;
}

/* The slot that holds the blob, or the one used longest ago. */
static struct slot *slot_for(struct vault_digests *digests, uint64_t blob)
{
    struct slot *oldest = &digests->slots[0];

    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &digests->slots[i];
        if (slot->used > 0 && slot->blob == blob) {
            return slot;
        }
        oldest = slot->used < oldest->used ? slot : oldest;
    }
    return oldest;
}

static struct hf_status load_blob(struct hf_ctx *ctx, struct vault_digests *digests,
                                  struct slot *slot, uint64_t blob)
{
    struct hf_bytes plain;

    if (slot->used == 0 || slot->blob != blob) {
        struct hf_status status = read_blob(ctx, digests, blob, &plain);
        if (!hf_is_ok(status)) {
            return hf_wrap(ctx->arena, status, "digest cache");
        }
        if (slot->bytes == NULL) {
            slot->bytes = hf_heap_alloc((size_t)CACHE_BLOB_DIGESTS * VAULT_DIGEST_LEN);
        }
        slot->len = plain.len < (size_t)CACHE_BLOB_DIGESTS * VAULT_DIGEST_LEN
                        ? plain.len
                        : (size_t)CACHE_BLOB_DIGESTS * VAULT_DIGEST_LEN;
        memcpy(slot->bytes, plain.ptr, slot->len);
        slot->blob = blob;
    }
    slot->used = ++digests->tick;
    return hf_success();
}

struct hf_status vault_digests_read(struct hf_ctx *ctx, struct vault_digests *digests,
                                    const struct vault_digests_file *file, uint32_t first_page,
                                    uint32_t count, uint8_t *ret_digests)
{
    HF_CHECK(first_page <= file->pages && count <= file->pages - first_page);
    uint64_t at = file->first + first_page;

    while (count > 0) {
        struct slot *slot = slot_for(digests, at / CACHE_BLOB_DIGESTS);
        uint32_t in_blob = (uint32_t)(at % CACHE_BLOB_DIGESTS);
        uint32_t part = CACHE_BLOB_DIGESTS - in_blob < count ? CACHE_BLOB_DIGESTS - in_blob : count;
        HF_TRY(load_blob(ctx, digests, slot, at / CACHE_BLOB_DIGESTS));
        if (((size_t)in_blob + part) * VAULT_DIGEST_LEN > slot->len) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "digest cache ends early");
        }
        memcpy(ret_digests, slot->bytes + (size_t)in_blob * VAULT_DIGEST_LEN,
               (size_t)part * VAULT_DIGEST_LEN);
        ret_digests += (size_t)part * VAULT_DIGEST_LEN;
        at += part;
        count -= part;
    }
    return hf_success();
}
