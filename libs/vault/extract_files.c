/* Target files of an extraction: opened on first use, a bounded number at a time. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/check.h"
#include "base/fd.h"
#include "vault/extract_impl.h"

void vault_extract_fds_init(struct extract *extract)
{
    hf_lock_init(&extract->fds_lock);
    for (size_t i = 0; i < FDS_MAX; i++) {
        extract->fds[i].fd = -1;
    }
}

static void slot_close(struct extract_fd *slot)
{
    if (slot->fd >= 0) {
        close(slot->fd);
        slot->fd = -1;
        slot->file->slot = -1;
    }
}

void vault_extract_fds_done(struct extract *extract)
{
    for (size_t i = 0; i < FDS_MAX; i++) {
        slot_close(&extract->fds[i]);
    }
    hf_lock_done(&extract->fds_lock);
}

/* What the backup itself says wrongly, told apart from what the machine refuses. */
static struct hf_status open_failed(struct hf_ctx *ctx, const struct extract_file *file, int error)
{
    switch (error) {
    case EEXIST:
    case EISDIR:
        return hf_fail(ctx->arena, HF_DATA_LOSS,
                       "%s is there already: the backup names it twice, as a file and as a "
                       "directory, or in two cases of letters",
                       file->path);
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the backup has no directory for %s", file->path);
    default:
        return hf_fail_errno(ctx->arena, error, "opening %s", file->path);
    }
}

static struct hf_status file_open(struct hf_ctx *ctx, struct extract_file *file, int *ret_fd)
{
    int flags = O_WRONLY;

    if (!file->is_made) {
        flags |= O_CREAT | (file->is_fresh ? O_EXCL : 0);
    }
    int fd = hf_beneath_open(file->dir, file->path, flags, 0600);
    if (fd < 0) {
        return open_failed(ctx, file, errno);
    }
    if (!file->is_made && ftruncate(fd, (off_t)file->size_bytes) != 0) {
        struct hf_status status =
            hf_fail_errno(ctx->arena, errno, "setting the size of %s", file->path);
        close(fd);
        return status;
    }
    file->is_made = true;
    *ret_fd = fd;
    return hf_success();
}

/* Unused slot, or the one not in use that was used longest ago. */
static struct extract_fd *slot_free(struct extract *extract)
{
    struct extract_fd *best = NULL;

    for (size_t i = 0; i < FDS_MAX; i++) {
        struct extract_fd *slot = &extract->fds[i];
        if (slot->fd < 0) {
            return slot;
        }
        if (slot->refs == 0 && (best == NULL || slot->tick < best->tick)) {
            best = slot;
        }
    }
    HF_CHECK(best != NULL); /* a thread holds one at a time */
    slot_close(best);
    return best;
}

/* Caller holds fds_lock. */
static struct hf_status slot_take(struct hf_ctx *ctx, struct extract *extract,
                                  struct extract_file *file, struct extract_fd **ret_slot)
{
    if (file->slot < 0) {
        struct extract_fd *slot = slot_free(extract);
        HF_TRY(file_open(ctx, file, &slot->fd));
        slot->file = file;
        slot->refs = 0;
        file->slot = (int)(slot - extract->fds);
    }
    struct extract_fd *slot = &extract->fds[file->slot];
    slot->refs++;
    slot->tick = ++extract->tick;
    *ret_slot = slot;
    return hf_success();
}

static bool is_zero_page(const uint8_t *page)
{
    static const uint8_t zero[16];

    return memcmp(page, zero, sizeof(zero)) == 0 &&
           memcmp(page, page + sizeof(zero), VAULT_PAGE - sizeof(zero)) == 0;
}

/* Write the pages, leaving holes where a fresh file would get zeros. */
static struct hf_status write_pages(struct hf_ctx *ctx, int fd, const struct extract_file *file,
                                    const struct extract_piece *at, const uint8_t *data)
{
    uint32_t i = 0;

    while (i < at->count) {
        uint32_t first = i;
        while (i < at->count && !(file->is_fresh && is_zero_page(data + (size_t)i * VAULT_PAGE))) {
            i++;
        }
        uint64_t offset = ((uint64_t)at->first_page + first) * VAULT_PAGE;
        uint64_t len = (uint64_t)(i - first) * VAULT_PAGE;
        HF_CHECK(offset < file->size_bytes);
        len = len < file->size_bytes - offset ? len : file->size_bytes - offset;
        HF_TRY(hf_pwrite_all(ctx->arena, fd, data + (size_t)first * VAULT_PAGE, (size_t)len, offset,
                             file->path));
        i += i < at->count; /* the zero page */
    }
    return hf_success();
}

static struct hf_status file_done(struct hf_ctx *ctx, struct extract *extract, int fd,
                                  const struct extract_file *file)
{
    const struct vault_extract_sink *sink = extract->options->sink;

    atomic_fetch_add(&extract->progress->files_done, 1);
    if (sink->file_done == NULL) {
        return hf_success();
    }
    return sink->file_done(ctx, sink->arg, fd, file->path, file->cookie);
}

static struct hf_status write_open(struct hf_ctx *ctx, struct extract *extract, int fd,
                                   struct extract_file *file, const struct extract_piece *at,
                                   const uint8_t *data)
{
    if (at->count > 0) {
        HF_TRY(write_pages(ctx, fd, file, at, data));
        atomic_fetch_add(&extract->progress->bytes_done, (uint64_t)at->count * VAULT_PAGE);
    }
    if (atomic_fetch_sub(&file->pages_left, at->count) == at->count) {
        return file_done(ctx, extract, fd, file);
    }
    return hf_success();
}

struct hf_status vault_extract_pages(struct hf_ctx *ctx, struct extract *extract,
                                     struct extract_file *file, const struct extract_piece *at,
                                     const uint8_t *data)
{
    struct extract_fd *slot = NULL;

    hf_lock_take(&extract->fds_lock);
    struct hf_status status = slot_take(ctx, extract, file, &slot);
    hf_lock_release(&extract->fds_lock);
    HF_TRY(status);
    HF_CHECK(slot != NULL);
    status = write_open(ctx, extract, slot->fd, file, at, data);
    hf_lock_take(&extract->fds_lock);
    slot->refs--;
    hf_lock_release(&extract->fds_lock);
    return status;
}

struct hf_status vault_extract_empty(struct hf_ctx *ctx, struct extract *extract,
                                     struct extract_file *file)
{
    const struct extract_piece nothing = {0};

    return vault_extract_pages(ctx, extract, file, &nothing, NULL);
}
