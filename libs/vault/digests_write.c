/* Writing the digest cache: a stream of digests, then the index, beside the cache that is in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "codec/wire.h"
#include "vault/digests_file.h"

struct vault_digests_writer {
    const struct vault_keyring *keyring;
    char *path; /* of the finished file: "<path>.next" */
    char *backup_id;
    int fd;
    struct vault_pack_stream *stream;
    struct hf_buf out;     /* sealed bytes on their way to the file */
    struct hf_buf digests; /* of the open blob */
    struct hf_buf lengths; /* be64 per finished volume */
    struct hf_buf ids;     /* of volumes */
    uint32_t volume_blobs;
    uint64_t digest_blobs;
    uint64_t index_blobs;
    uint64_t next;
    struct vault_digests_file *files;
    size_t files_len;
    size_t files_cap;
    bool is_finished;
};

char *vault_digests_next_path(struct hf_arena *arena, const char *path)
{
    return hf_printf(arena, "%s.next", path);
}

void vault_attrs_digest(const struct vault_keyring *keyring, const struct vault_attrs *attrs,
                        uint8_t ret_digest[VAULT_ATTR_LEN])
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    uint8_t digest[VAULT_DIGEST_LEN];

    hf_buf_init(&buf, 4 * VAULT_PATH_MAX);
    codec_wire_put_text(&buf, "attrs");
    codec_wire_put_u8(&buf, (uint8_t)attrs->node);
    codec_wire_put_text(&buf, attrs->path);
    codec_wire_put_text(&buf, attrs->link);
    codec_wire_put_u64(&buf, attrs->mode);
    codec_wire_put_i64(&buf, attrs->mtime_us);
    codec_wire_put_u64(&buf, attrs->size_bytes);
    codec_wire_put_be32(&buf, attrs->crc32c);
    vault_page_digest(keyring, buf.ptr, buf.len, digest);
    memcpy(ret_digest, digest, VAULT_ATTR_LEN);
}

static struct hf_status flush(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    HF_TRY(hf_buf_status(&writer->out, ctx->arena, "digest cache"));
    HF_TRY(hf_write_all(ctx->arena, writer->fd, writer->out.ptr, writer->out.len, writer->path));
    hf_buf_clear(&writer->out);
    return hf_success();
}

static struct hf_status volume_finish(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    HF_TRY(vault_pack_stream_finish(ctx, writer->stream, &writer->out));
    HF_TRY(flush(ctx, writer));
    codec_wire_put_be64(&writer->lengths, vault_pack_stream_size(writer->stream));
    vault_pack_stream_free(HF_TAKE(writer->stream));
    writer->volume_blobs = 0;
    return hf_success();
}

static struct hf_status volume_begin(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    const struct vault_pack_options options = {.kind = VAULT_PACK_CACHE,
                                               .capacity_bytes = VAULT_PACK_HARD_MAX};

    HF_TRY(vault_pack_stream_new(ctx, writer->keyring, &options, &writer->out, &writer->stream));
    codec_wire_put_raw(&writer->ids, vault_pack_stream_id(writer->stream), VAULT_ID_LEN);
    return hf_success();
}

static struct hf_status blob_add(struct hf_ctx *ctx, struct vault_digests_writer *writer,
                                 struct hf_bytes plain)
{
    if (writer->volume_blobs == CACHE_VOLUME_BLOBS) {
        HF_TRY(volume_finish(ctx, writer));
    }
    if (writer->stream == NULL) {
        HF_TRY(volume_begin(ctx, writer));
    }
    HF_TRY(vault_pack_stream_add(ctx, writer->stream, VAULT_BLOB_BYTES, plain, &writer->out));
    writer->volume_blobs++;
    return flush(ctx, writer);
}

struct hf_status vault_digests_writer_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                          const char *path, const char *backup_id,
                                          struct vault_digests_writer **ret_writer)
{
    HF_CLEANUP(vault_digests_writer_free)
    struct vault_digests_writer *writer = hf_heap_alloc(sizeof(*writer));

    writer->keyring = keyring;
    writer->path = hf_heap_strdup(vault_digests_next_path(ctx->arena, path));
    writer->backup_id = hf_heap_strdup(backup_id);
    hf_buf_init(&writer->out, VAULT_BLOB_MAX * 2);
    hf_buf_init(&writer->digests, CACHE_BLOB_DIGESTS * VAULT_DIGEST_LEN);
    hf_buf_init(&writer->lengths, CACHE_VOLUMES_MAX * 8);
    hf_buf_init(&writer->ids, CACHE_VOLUMES_MAX * VAULT_ID_LEN);
    writer->fd = open(writer->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "creating %s", writer->path);
    }
    *ret_writer = HF_TAKE(writer);
    return hf_success();
}

void vault_digests_writer_free(struct vault_digests_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->fd >= 0) {
        close(writer->fd);
        if (!writer->is_finished) {
            (void)unlink(writer->path);
        }
    }
    vault_pack_stream_free(writer->stream);
    hf_buf_done(&writer->out);
    hf_buf_done(&writer->digests);
    hf_buf_done(&writer->lengths);
    hf_buf_done(&writer->ids);
    hf_heap_free(writer->files);
    hf_heap_free(writer->backup_id);
    hf_heap_free(writer->path);
    hf_heap_free(writer);
}

uint64_t vault_digests_writer_next(const struct vault_digests_writer *writer)
{
    return writer->next;
}

static struct hf_status digests_flush(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    if (writer->digests.len == 0) {
        return hf_success();
    }
    HF_TRY(blob_add(ctx, writer, (struct hf_bytes){writer->digests.ptr, writer->digests.len}));
    writer->digest_blobs++;
    hf_buf_clear(&writer->digests);
    return hf_success();
}

struct hf_status vault_digests_writer_pages(struct hf_ctx *ctx, struct vault_digests_writer *writer,
                                            const uint8_t *digests, uint32_t count)
{
    size_t left = (size_t)count * VAULT_DIGEST_LEN;

    writer->next += count;
    while (left > 0) {
        size_t room = CACHE_BLOB_DIGESTS * VAULT_DIGEST_LEN - writer->digests.len;
        size_t part = left < room ? left : room;
        hf_buf_append(&writer->digests, digests, part);
        digests += part;
        left -= part;
        if (part == room) {
            HF_TRY(digests_flush(ctx, writer));
        }
    }
    return hf_success();
}

void vault_digests_writer_file(struct vault_digests_writer *writer,
                               const struct vault_digests_file *file)
{
    if (writer->files_len == writer->files_cap) {
        writer->files_cap = writer->files_cap + writer->files_cap / 2 + 256;
        writer->files = hf_heap_grow(writer->files, writer->files_cap * sizeof(writer->files[0]));
    }
    writer->files[writer->files_len++] = *file;
}

static int compare_files(const void *a, const void *b)
{
    const struct vault_digests_file *x = a;
    const struct vault_digests_file *y = b;

    return memcmp(x->key, y->key, VAULT_ID_LEN);
}

static struct hf_status sort_files(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    if (writer->files_len > 1) {
        qsort(writer->files, writer->files_len, sizeof(writer->files[0]), compare_files);
    }
    for (size_t i = 1; i < writer->files_len; i++) {
        if (compare_files(&writer->files[i - 1], &writer->files[i]) == 0) {
            return hf_fail(ctx->arena, HF_ALREADY_EXISTS,
                           "the source named the same path twice in one backup");
        }
    }
    return hf_success();
}

static struct hf_status write_index(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, CACHE_BLOB_FILES * CACHE_FILE_LEN);
    for (size_t i = 0; i < writer->files_len; i++) {
        const struct vault_digests_file *file = &writer->files[i];
        codec_wire_put_raw(&buf, file->key, VAULT_ID_LEN);
        codec_wire_put_raw(&buf, file->attrs, VAULT_ATTR_LEN);
        codec_wire_put_be64(&buf, file->first);
        codec_wire_put_be32(&buf, file->pages);
        if ((i + 1) % CACHE_BLOB_FILES == 0 || i + 1 == writer->files_len) {
            HF_TRY(hf_buf_status(&buf, ctx->arena, "digest cache index"));
            HF_TRY(blob_add(ctx, writer, (struct hf_bytes){buf.ptr, buf.len}));
            hf_buf_clear(&buf);
            writer->index_blobs++;
        }
    }
    return hf_success();
}

/* The foot is in a volume of its own when the last one is full: its id must be known. */
static struct hf_status write_foot(struct hf_ctx *ctx, struct vault_digests_writer *writer)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    if (writer->volume_blobs == CACHE_VOLUME_BLOBS) {
        HF_TRY(volume_finish(ctx, writer));
    }
    if (writer->stream == NULL) {
        HF_TRY(volume_begin(ctx, writer));
    }
    hf_buf_init(&buf, VAULT_BLOB_MAX);
    codec_wire_put_u8(&buf, CACHE_VERSION);
    codec_wire_put_text(&buf, writer->backup_id);
    codec_wire_put_u64(&buf, writer->next);
    codec_wire_put_u64(&buf, writer->digest_blobs);
    codec_wire_put_u64(&buf, writer->index_blobs);
    codec_wire_put_u64(&buf, writer->files_len);
    codec_wire_put_bytes(&buf, writer->ids.ptr, writer->ids.len);
    HF_TRY(hf_buf_status(&buf, ctx->arena, "digest cache foot"));
    return blob_add(ctx, writer, (struct hf_bytes){buf.ptr, buf.len});
}

struct hf_status vault_digests_writer_finish(struct hf_ctx *ctx,
                                             struct vault_digests_writer *writer)
{
    HF_TRY(sort_files(ctx, writer));
    HF_TRY(digests_flush(ctx, writer));
    HF_TRY(write_index(ctx, writer));
    HF_TRY(write_foot(ctx, writer));
    HF_TRY(volume_finish(ctx, writer));
    codec_wire_put_raw(&writer->out, writer->lengths.ptr, writer->lengths.len);
    codec_wire_put_be32(&writer->out, (uint32_t)(writer->lengths.len / 8));
    codec_wire_put_raw(&writer->out, CACHE_MAGIC, 4);
    HF_TRY(flush(ctx, writer));
    HF_TRY(hf_fsync(ctx->arena, writer->fd, writer->path));
    HF_TRY(hf_fsync_dir(ctx->arena, dirname(hf_strdup(ctx->arena, writer->path))));
    writer->is_finished = true;
    return hf_success();
}

struct hf_status vault_digests_commit(struct hf_ctx *ctx, const char *path)
{
    const char *next = vault_digests_next_path(ctx->arena, path);

    if (rename(next, path) != 0) {
        return hf_fail_errno(ctx->arena, errno, "renaming %s", next);
    }
    return hf_fsync_dir(ctx->arena, dirname(hf_strdup(ctx->arena, path)));
}
