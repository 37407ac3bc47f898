/* Growing objects of a local store. The surprise: after a failed write or flush an appender refuses
 * everything. The kernel may have dropped the dirty pages, so a later flush that succeeds would
 * prove nothing; the caller begins a new object. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "objstore/local_internal.h"

struct objstore_appender {
    struct local_store *store; /* borrowed: outlives the appender */
    char *name;                /* heap */
    int fd;
    bool is_broken;
};

struct hf_status local_append_create(struct hf_ctx *ctx, struct objstore *base, const char *name,
                                     struct objstore_appender **ret_appender)
{
    struct local_store *store = local_of(base);
    HF_CLEANUP(hf_close) int fd = -1;
    struct objstore_appender *appender;
    int error = 0;

    if (!objstore_is_name(name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "'%.100s' is not an object name", name);
    }
    for (int i = 0; fd < 0 && i < LOCAL_ATTEMPTS; i++) {
        fd = local_open(store, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
        error = errno;
        if (fd < 0 && error == EEXIST) {
            return hf_fail(ctx->arena, HF_ALREADY_EXISTS, "object %s exists already", name);
        }
        if (fd < 0 && error != ENOENT) {
            break;
        }
        if (fd < 0) {
            HF_TRY(local_make_parents(ctx, store, name));
        }
    }
    if (fd < 0) {
        return hf_fail_errno(ctx->arena, error, "creating object %s", name);
    }
    HF_TRY(local_sync_parent(ctx, store, name));
    appender = hf_heap_alloc(sizeof(*appender));
    appender->store = store;
    appender->name = hf_heap_strdup(name);
    appender->fd = fd;
    fd = -1;
    *ret_appender = appender;
    return hf_success();
}

static struct hf_status append_flush(struct hf_ctx *ctx, const struct objstore_appender *appender)
{
    while (fdatasync(appender->fd) != 0) {
        if (errno != EINTR) {
            return hf_fail_errno(ctx->arena, errno, "flushing %s", appender->name);
        }
    }
    return hf_success();
}

struct hf_status local_append(struct hf_ctx *ctx, struct objstore_appender *appender,
                              struct hf_bytes bytes, bool is_durable)
{
    struct hf_status status;

    if (appender->is_broken) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "%s takes no more after a failed write",
                       appender->name);
    }
    status = hf_write_all(ctx->arena, appender->fd, bytes.ptr, bytes.len, appender->name);
    if (hf_is_ok(status) && is_durable) {
        status = append_flush(ctx, appender);
    }
    if (hf_is_ok(status) && is_durable) {
        status = local_check_name(ctx, appender->store, appender->fd, appender->name);
    }
    appender->is_broken = !hf_is_ok(status);
    return status;
}

struct hf_status local_append_close_as(struct hf_ctx *ctx, struct objstore_appender *appender,
                                       const char *final_name)
{
    const struct local_store *store = appender->store;

    if (appender->is_broken) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "%s cannot be finished after a failed write", appender->name);
    }
    if (!objstore_is_name(final_name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "'%.100s' is not an object name",
                       final_name);
    }
    HF_TRY(append_flush(ctx, appender));
    HF_TRY(local_link(ctx, store, appender->name, final_name));
    HF_TRY(local_unlink(ctx, store, appender->name));
    HF_TRY(local_sync_parent(ctx, store, appender->name));
    local_append_leave(appender);
    return hf_success();
}

void local_append_leave(struct objstore_appender *appender)
{
    if (appender != NULL) {
        close(appender->fd);
        hf_heap_free(appender->name);
        hf_heap_free(appender);
    }
}
