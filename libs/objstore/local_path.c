/* Paths of a local store. The surprise: the kernel is told never to follow a symbolic link below
 * the root (openat2). Whoever can write into a vault's directory could else send our writes, and
 * our removals, to any other directory of ours. What is made, linked or removed is named by its
 * last part, in the directory that holds it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "objstore/local_internal.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY)

int local_open(const struct local_store *store, const char *path, int flags, mode_t mode)
{
    const struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };

    return (int)syscall(SYS_openat2, store->root, path, &how, sizeof(how));
}

bool local_is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENXIO ||
           error == ENODEV;
}

const char *local_parent(struct hf_arena *arena, const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? hf_strndup(arena, name, (size_t)(slash - name)) : ".";
}

int local_open_parent(struct hf_arena *arena, const struct local_store *store, const char *name,
                      const char **ret_base)
{
    const char *slash = strrchr(name, '/');

    *ret_base = slash != NULL ? slash + 1 : name;
    return local_open(store, local_parent(arena, name), DIR_FLAGS, 0);
}

struct hf_status local_sync_parent(struct hf_ctx *ctx, const struct local_store *store,
                                   const char *name)
{
    const char *base;
    HF_CLEANUP(hf_close) int dir = local_open_parent(ctx->arena, store, name, &base);

    if (dir < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening the directory of %s in %s", name,
                             store->dir);
    }
    return hf_fsync(ctx->arena, dir, name);
}

static struct hf_status replaced(struct hf_ctx *ctx, const struct local_store *store,
                                 const char *name)
{
    const char *const metadata[] = {"directory", store->dir, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "VAULT_REPLACED", metadata,
                        "%s%s%s is no longer what was opened: it was moved, removed, unmounted or "
                        "mounted over; nothing is acknowledged",
                        store->dir, name[0] == '\0' ? "" : "/", name);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

struct hf_status local_check_place(struct hf_ctx *ctx, const struct local_store *store)
{
    struct stat held;
    struct stat found;

    return fstat(store->root, &held) == 0 && stat(store->dir, &found) == 0 && is_same(&held, &found)
               ? hf_success()
               : replaced(ctx, store, "");
}

struct hf_status local_check_name(struct hf_ctx *ctx, const struct local_store *store, int fd,
                                  const char *name)
{
    struct stat held;
    struct stat found;

    HF_TRY(local_check_place(ctx, store));
    return fstat(fd, &held) == 0 && fstatat(store->root, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                   is_same(&held, &found)
               ? hf_success()
               : replaced(ctx, store, name);
}

/* One directory, durable in its parent; OK when it is there, or when its parent vanished. */
static struct hf_status make_dir(struct hf_ctx *ctx, const struct local_store *store,
                                 const char *path)
{
    const char *base;
    HF_CLEANUP(hf_close) int dir = local_open_parent(ctx->arena, store, path, &base);

    if (dir >= 0 && mkdirat(dir, base, 0700) == 0) {
        return hf_fsync(ctx->arena, dir, path);
    }
    if (errno == ENOENT || errno == EEXIST) {
        return hf_success();
    }
    return hf_fail_errno(ctx->arena, errno, "creating directory %s/%s", store->dir, path);
}

struct hf_status local_make_parents(struct hf_ctx *ctx, const struct local_store *store,
                                    const char *name)
{
    char *path = hf_strdup(ctx->arena, name);

    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        HF_TRY(make_dir(ctx, store, path));
        *slash = '/';
    }
    return hf_success();
}

/* One link(2); 0 or errno. */
static int try_link(struct hf_arena *arena, const struct local_store *store, const char *from,
                    const char *name)
{
    const char *old_base;
    const char *base;
    HF_CLEANUP(hf_close) int old_dir = local_open_parent(arena, store, from, &old_base);
    HF_CLEANUP(hf_close) int dir = old_dir < 0 ? -1 : local_open_parent(arena, store, name, &base);

    return dir >= 0 && linkat(old_dir, old_base, dir, base, 0) == 0 ? 0 : errno;
}

struct hf_status local_link(struct hf_ctx *ctx, const struct local_store *store, const char *from,
                            const char *name)
{
    int error = ENOENT;

    for (int i = 0; i < LOCAL_ATTEMPTS && error == ENOENT; i++) {
        if (i > 0) {
            HF_TRY(local_make_parents(ctx, store, name));
        }
        error = try_link(ctx->arena, store, from, name);
    }
    HF_TRY(local_check_place(ctx, store));
    if (error == 0) {
        return local_sync_parent(ctx, store, name);
    }
    if (error == EEXIST) {
        return hf_fail(ctx->arena, HF_ALREADY_EXISTS, "object %s exists already", name);
    }
    return hf_fail_errno(ctx->arena, error, "creating object %s", name);
}

struct hf_status local_unlink(struct hf_ctx *ctx, const struct local_store *store, const char *name)
{
    const char *base;
    HF_CLEANUP(hf_close) int dir = local_open_parent(ctx->arena, store, name, &base);

    if ((dir < 0 || unlinkat(dir, base, 0) != 0) && !local_is_absent(errno)) {
        return hf_fail_errno(ctx->arena, errno, "removing object %s", name);
    }
    return hf_success();
}
