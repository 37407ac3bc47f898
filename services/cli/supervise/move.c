/* Changing the owner of a tree that its former owner may still write to.
 *
 *   judge the whole tree      nothing is changed yet; anything odd refuses it, with the list
 *   directory → root, 0700    closed: whoever has nothing open in it gets in no more
 *   each entry → new owner    opened, judged again, and given away by its own descriptor
 *   syncfs
 *   holdfast.yaml → new owner, the directory last
 *
 * A crash in between leaves a directory of root's, which the next `up` goes on with: every step may
 * be repeated. No inode changes, no byte is copied.
 */
#include "cli/supervise/move.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

#define MAX_DEPTH 64
#define TOLD_MAX 20
#define LAST_NAME "holdfast.yaml"
#define SOCKETS_OF "run"

struct tour {
    struct hf_ctx *ctx;
    const struct move *move;
    bool is_judging;
    DIR *dirs[MAX_DEPTH];
    char *names[MAX_DEPTH]; /* of the level, relative to the one above; [0] is "" */
    dev_t devices[MAX_DEPTH];
    size_t depth;
    struct hf_buf refused; /* what must not be moved, a line each */
    size_t refused_len;
};

static void tour_done_cleanup(struct tour *tour)
{
    while (tour->depth > 0) {
        tour->depth--;
        (void)closedir(tour->dirs[tour->depth]);
        hf_heap_free(tour->names[tour->depth]);
    }
    hf_buf_done(&tour->refused);
}

static bool is_in_run(const struct tour *tour)
{
    return tour->depth == 2 && hf_text_equal(tour->names[1], SOCKETS_OF);
}

/* NULL, or why the entry is not what an installation is made of. A disk may be mounted on a
 * directory of the first level. */
static const char *objection(const struct tour *tour, const struct stat *found)
{
    const struct move *move = tour->move;
    bool is_socket_of_ours = S_ISSOCK(found->st_mode) && is_in_run(tour);

    if (found->st_uid != 0 && found->st_uid != move->former && found->st_uid != move->to.uid) {
        return "belongs to another user";
    }
    if (!S_ISDIR(found->st_mode) && !S_ISREG(found->st_mode) && !is_socket_of_ours) {
        return S_ISLNK(found->st_mode) ? "is a link" : "is neither a file nor a directory";
    }
    if (S_ISREG(found->st_mode) && found->st_nlink != 1) {
        return "has several names";
    }
    if (found->st_dev != tour->devices[tour->depth - 1] &&
        !(S_ISDIR(found->st_mode) && tour->depth == 1)) {
        return "lies on another file system";
    }
    return S_ISDIR(found->st_mode) && tour->depth == MAX_DEPTH ? "lies too deep" : NULL;
}

static void refuse(struct tour *tour, const char *name, const char *why)
{
    if (tour->refused_len++ >= TOLD_MAX) {
        return;
    }
    hf_buf_append(&tour->refused, "\n  ", 3);
    for (size_t i = 1; i < tour->depth; i++) {
        hf_buf_append(&tour->refused, tour->names[i], strlen(tour->names[i]));
        hf_buf_append(&tour->refused, "/", 1);
    }
    hf_buf_append(&tour->refused, name, strlen(name));
    hf_buf_append(&tour->refused, " ", 1);
    hf_buf_append(&tour->refused, why, strlen(why));
}

static struct hf_status refused(struct tour *tour)
{
    size_t more = tour->refused_len > TOLD_MAX ? tour->refused_len - TOLD_MAX : 0;
    const char *rest = more == 0 ? "" : hf_printf(tour->ctx->arena, "\n  and %zu more", more);

    return hf_fail_info(tour->ctx->arena, HF_FAILED_PRECONDITION, "NOT_TO_BE_MOVED", NULL,
                        "%s cannot be given to %s; take these away first, then repeat it:%s%s",
                        tour->move->path, tour->move->to.name, hf_buf_text(&tour->refused), rest);
}

static struct hf_status give(struct tour *tour, int fd, const char *name)
{
    const struct account *to = &tour->move->to;

    return tour->is_judging || fchownat(fd, "", to->uid, to->gid, AT_EMPTY_PATH) == 0
               ? hf_success()
               : hf_fail_errno(tour->ctx->arena, errno, "giving %s to %s", name, to->name);
}

/* The directory of an O_PATH descriptor, opened for reading: the same one, by its own descriptor.
 */
static struct hf_status push(struct tour *tour, int fd, const char *name)
{
    struct stat found;
    int readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = readable < 0 ? NULL : fdopendir(readable);

    if (dir == NULL || fstat(readable, &found) != 0) {
        struct hf_status status = hf_fail_errno(tour->ctx->arena, errno, "opening %s", name);

        if (dir != NULL) {
            (void)closedir(dir);
        } else {
            hf_close_cleanup(&readable);
        }
        return status;
    }
    tour->dirs[tour->depth] = dir;
    tour->names[tour->depth] = hf_heap_strdup(name);
    tour->devices[tour->depth] = found.st_dev;
    tour->depth++;
    return hf_success();
}

static void pop(struct tour *tour)
{
    tour->depth--;
    (void)closedir(tour->dirs[tour->depth]);
    hf_heap_free(tour->names[tour->depth]);
}

/* A socket of servers that have ended is nothing that somebody could own later. */
static struct hf_status take_socket(struct tour *tour, int parent, const char *name)
{
    return tour->is_judging || unlinkat(parent, name, 0) == 0 || errno == ENOENT
               ? hf_success()
               : hf_fail_errno(tour->ctx->arena, errno, "removing the socket %s", name);
}

static struct hf_status take(struct tour *tour, const char *name)
{
    int parent = dirfd(tour->dirs[tour->depth - 1]);
    struct stat found;
    HF_CLEANUP(hf_close) int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &found) != 0) {
        return errno == ENOENT ? hf_success()
                               : hf_fail_errno(tour->ctx->arena, errno, "opening %s", name);
    }
    const char *why = objection(tour, &found);

    if (why != NULL) {
        refuse(tour, name, why);
        return tour->is_judging ? hf_success() : refused(tour);
    }
    if (S_ISSOCK(found.st_mode)) {
        return take_socket(tour, parent, name);
    }
    HF_TRY(give(tour, fd, name));
    return S_ISDIR(found.st_mode) ? push(tour, fd, name) : hf_success();
}

static bool is_left_out(const struct tour *tour, const char *name)
{
    return hf_text_equal(name, ".") || hf_text_equal(name, "..") ||
           (!tour->is_judging && tour->depth == 1 && hf_text_equal(name, LAST_NAME));
}

static struct hf_status travel(struct tour *tour)
{
    HF_TRY(push(tour, tour->move->dir, ""));
    while (tour->depth > 0) {
        HF_TRY(hf_ctx_check(tour->ctx));
        errno = 0;
        const struct dirent *entry = readdir(tour->dirs[tour->depth - 1]);

        if (entry == NULL && errno != 0) {
            return hf_fail_errno(tour->ctx->arena, errno, "listing %s",
                                 tour->names[tour->depth - 1]);
        }
        if (entry == NULL) {
            pop(tour);
        } else if (!is_left_out(tour, entry->d_name)) {
            HF_TRY(take(tour, entry->d_name));
        }
    }
    return tour->refused_len == 0 ? hf_success() : refused(tour);
}

static struct hf_status tour_run(struct hf_ctx *ctx, const struct move *move, bool is_judging)
{
    HF_CLEANUP(tour_done) struct tour tour = {.ctx = ctx, .move = move, .is_judging = is_judging};

    hf_buf_init(&tour.refused, (size_t)1 << 18);
    return travel(&tour);
}

/* holdfast.yaml says that everything else is done; then the directory opens for its owner. */
static struct hf_status finish(struct hf_ctx *ctx, const struct move *move)
{
    const struct account *to = &move->to;
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(move->dir, LAST_NAME, O_RDONLY | O_NONBLOCK, 0);
    struct stat found;

    if (fd >= 0 && (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || found.st_nlink != 1 ||
                    fchown(fd, to->uid, to->gid) != 0)) {
        return hf_fail_errno(ctx->arena, errno, "giving %s to %s", LAST_NAME, to->name);
    }
    if (syncfs(move->dir) != 0 || fchown(move->dir, to->uid, to->gid) != 0 ||
        fsync(move->dir) != 0) {
        return hf_fail_errno(ctx->arena, errno, "giving %s to %s", move->path, to->name);
    }
    return hf_success();
}

struct hf_status move_run(struct hf_ctx *ctx, const struct move *move)
{
    HF_TRY(tour_run(ctx, move, true));
    if (fchown(move->dir, 0, 0) != 0 || fchmod(move->dir, 0700) != 0 || fsync(move->dir) != 0) {
        return hf_fail_errno(ctx->arena, errno, "closing %s", move->path);
    }
    HF_TRY(tour_run(ctx, move, false));
    return finish(ctx, move);
}

uid_t move_former(int dir, const struct account *to)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    struct stat found;
    uid_t former = 0;

    while (list != NULL && former == 0 && (entry = readdir(list)) != NULL) {
        if (!hf_text_equal(entry->d_name, "..") &&
            fstatat(dir, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
            found.st_uid != to->uid) {
            former = found.st_uid;
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return former;
}
