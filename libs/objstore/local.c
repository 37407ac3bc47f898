/* A store on a directory. The surprise: link(2) is the commit. An object is written and flushed
 * under .tmp, then linked to its name, which fails when the name is taken; so a name either holds
 * a whole, durable object or nothing, and two writers cannot both win. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "objstore/local_internal.h"

#define TEMP_KEEP_US (24 * 3600 * HF_US_PER_S) /* older ones are of writers that died */

HF_DEFINE_CLEANUP(DIR *, closedir)

/* A temporary file with these bytes, flushed. */
static struct hf_status temp_write(struct hf_ctx *ctx, const struct local_store *store,
                                   const char *temp, struct hf_bytes bytes)
{
    HF_CLEANUP(hf_close) int fd = local_open(store, temp, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "creating %s/%s", store->dir, temp);
    }
    HF_TRY(hf_write_all(ctx->arena, fd, bytes.ptr, bytes.len, temp));
    return hf_fsync(ctx->arena, fd, temp);
}

static struct hf_status local_put(struct hf_ctx *ctx, struct objstore *base, const char *name,
                                  struct hf_bytes bytes)
{
    const struct local_store *store = local_of(base);
    uint8_t random[16];
    const char *temp;
    struct hf_status status;

    hf_random(random, sizeof(random));
    temp = hf_printf(ctx->arena, LOCAL_TEMP_DIR "/%s", hf_hex(ctx->arena, random, sizeof(random)));
    status = temp_write(ctx, store, temp, bytes);
    if (hf_is_ok(status)) {
        status = local_link(ctx, store, temp, name);
    }
    (void)hf_is_ok(local_unlink(ctx, store, temp));
    return hf_wrap(ctx->arena, status, "writing %s", name);
}

/* Anything else than a regular file is no object: it is not read, and nobody waits for it. */
static struct hf_status object_open(struct hf_ctx *ctx, const struct local_store *store,
                                    const char *name, int *ret_fd, uint64_t *ret_size)
{
    HF_CLEANUP(hf_close) int fd = local_open(store, name, O_RDONLY, 0);
    struct stat info;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "object %s does not exist", name);
    }
    if (fd < 0 && local_is_absent(errno)) {
        return hf_fail(ctx->arena, HF_NOT_FOUND,
                       "%s is not an object: it is, or lies behind, a link, socket or device",
                       name);
    }
    if (fd < 0 || fstat(fd, &info) != 0) {
        return hf_fail_errno(ctx->arena, errno, "opening object %s", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "%s is not an object: it is no regular file",
                       name);
    }
    *ret_size = (uint64_t)info.st_size;
    *ret_fd = fd;
    fd = -1;
    return hf_success();
}

static struct hf_status local_head(struct hf_ctx *ctx, struct objstore *base, const char *name,
                                   uint64_t *ret_size)
{
    HF_CLEANUP(hf_close) int fd = -1;

    return object_open(ctx, local_of(base), name, &fd, ret_size);
}

static struct hf_status local_read(struct hf_ctx *ctx, struct objstore *base, const char *name,
                                   uint64_t offset, size_t len, void *ret_bytes)
{
    HF_CLEANUP(hf_close) int fd = -1;
    uint64_t size = 0;
    size_t got = 0;

    HF_TRY(object_open(ctx, local_of(base), name, &fd, &size));
    HF_TRY(hf_pread_full(ctx->arena, fd, ret_bytes, len, offset, name, &got));
    if (got < len) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "object %s ends before byte %" PRIu64, name,
                       offset + len);
    }
    return hf_success();
}

static struct hf_status local_remove(struct hf_ctx *ctx, struct objstore *base, const char *name)
{
    const struct local_store *store = local_of(base);

    HF_TRY(local_unlink(ctx, store, name));
    /* Flushed also when it was gone: the one who removed it may have died before his flush. */
    struct hf_status status = local_sync_parent(ctx, store, name);

    if (!hf_is_ok(status)) {
        return status.code == HF_NOT_FOUND ? hf_success() : status;
    }
    /* Directories are not objects: an empty one goes, up to the first that is not empty. */
    for (const char *dir = local_parent(ctx->arena, name); strcmp(dir, ".") != 0;
         dir = local_parent(ctx->arena, dir)) {
        const char *last;
        HF_CLEANUP(hf_close) int above = local_open_parent(ctx->arena, store, dir, &last);

        if (above < 0 || unlinkat(above, last, AT_REMOVEDIR) != 0) {
            break;
        }
    }
    return hf_success();
}

static void local_free(struct objstore *base)
{
    struct local_store *store = local_of(base);

    if (store->root >= 0) {
        close(store->root);
    }
    hf_heap_free(store->dir);
    hf_heap_free(store);
}

static const struct objstore_ops local_ops = {
    .kind = "local",
    .can_append = true,
    .put = local_put,
    .head = local_head,
    .read = local_read,
    .list = local_list,
    .remove = local_remove,
    .free = local_free,
    .append_create = local_append_create,
    .append = local_append,
    .append_close_as = local_append_close_as,
    .append_leave = local_append_leave,
};

/* Remove what writers left that died long ago. Failures do not matter: it is only space. */
static void temp_sweep(const struct local_store *store)
{
    int fd = local_open(store, LOCAL_TEMP_DIR, O_RDONLY | O_DIRECTORY, 0);
    HF_CLEANUP(closedir) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    int64_t oldest = hf_now_us() - TEMP_KEEP_US;
    const struct dirent *entry;

    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        struct stat info;

        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            (int64_t)info.st_mtime * HF_US_PER_S < oldest) {
            (void)unlinkat(fd, entry->d_name, 0);
        }
    }
}

struct hf_status objstore_local_open(struct hf_ctx *ctx, const char *dir, bool create,
                                     struct objstore **ret_store)
{
    HF_CLEANUP(objstore_free) struct objstore *base = NULL;
    struct local_store *store;

    if (create) {
        HF_TRY(hf_make_dirs(ctx->arena, dir, 0700));
    }
    store = hf_heap_alloc(sizeof(*store));
    base = &store->base;
    store->base.ops = &local_ops;
    store->dir = hf_heap_strdup(dir);
    store->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening vault directory %s", dir);
    }
    if (create) {
        HF_TRY(local_make_parents(ctx, store, LOCAL_TEMP_DIR "/x"));
        temp_sweep(store);
    }
    *ret_store = HF_TAKE(base);
    return hf_success();
}
