/* Changing the owner of a tree that its former owner may still write to.
 *
 *   judge the whole tree       nothing is changed yet; anything odd refuses it, with the list
 *   directory → root, 0700     closed: whoever has nothing open in it gets in no more
 *   each directory → root      closed before it is listed, so that nothing is added behind the list
 *   each file → new owner      opened, judged again, and given away by its own descriptor; what
 *                              a supervisor of root's left goes, and so do sockets
 *   each directory → new owner when all below it is given
 *   syncfs
 *   holdfast.yaml → new owner, the directory last
 *
 * A failure before the first gift puts back what was closed; a later one leaves the directory
 * root's.
 *
 * So whatever is not given yet lies in directories of root's, from the first one down, or is still
 * the former owner's as a whole: after a crash anywhere the next `up` sees whose it was and goes
 * on, for every step may be repeated. No inode changes, no byte is copied.
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
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"

#define MAX_DEPTH 64
#define TOLD_MAX 20
#define LAST_NAME "holdfast.yaml"
#define SOCKETS_OF "run"

/* Of a directory that is closed. */
struct state {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

struct tour {
    struct hf_ctx *ctx;
    struct move *move;
    bool is_judging;
    DIR *dirs[MAX_DEPTH];
    char *names[MAX_DEPTH]; /* of the level, relative to the one above; [0] is "" */
    dev_t devices[MAX_DEPTH];
    struct state before[MAX_DEPTH];
    bool are_roots[MAX_DEPTH]; /* root's before the move, and all above */
    size_t depth;
    bool has_given;        /* something is the new owner's now */
    struct hf_buf refused; /* what must not be moved, and why */
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

/* Of the entry in the directory of this level, below the installation's. */
static const char *path_of(const struct tour *tour, const char *name)
{
    const char *path = "";

    for (size_t i = 1; i < tour->depth; i++) {
        path = hf_printf(tour->ctx->arena, "%s%s/", path, tour->names[i]);
    }
    return hf_printf(tour->ctx->arena, "%s%s", path, name);
}

/* What the earlier release left as root's. */
static bool is_known(const struct tour *tour, const char *name)
{
    static const struct {
        size_t depth;
        const char *above[2];
        const char *name;
    } known[] = {
        {1, {"", ""}, LAST_NAME},     {1, {"", ""}, "recovery-kit.txt"}, {2, {"pki", ""}, "ca"},
        {3, {"pki", "ca"}, "ca.key"}, {3, {"pki", "ca"}, "ca.crt"},
    };
    const char *first = tour->depth > 1 ? tour->names[1] : "";
    const char *second = tour->depth > 2 ? tour->names[2] : "";

    for (size_t i = 0; i < HF_LEN(known); i++) {
        if (tour->depth == known[i].depth && hf_text_equal(first, known[i].above[0]) &&
            hf_text_equal(second, known[i].above[1]) && hf_text_equal(name, known[i].name)) {
            return true;
        }
    }
    return false;
}

static bool is_roots_to_give(const struct tour *tour, const char *name, const struct stat *found)
{
    bool is_on_chain = tour->are_roots[tour->depth - 1];

    switch (tour->move->root) {
    case MOVE_ROOTS_NONE:
        return false;
    case MOVE_ROOTS_KNOWN: /* a closed directory is one of the former owner's */
        return is_known(tour, name) || (is_on_chain && S_ISDIR(found->st_mode));
    case MOVE_ROOTS_ALL:
        return is_on_chain;
    }
    return false;
}

/* The owner of what root has closed: one that servers cannot run as. Asked once a tree, or once an
 * entry that is refused: so the answer's memory is not the tour's. */
static bool can_be_former(uid_t uid)
{
    struct hf_arena *arena = hf_arena_new((size_t)1 << 16);
    struct account owner;
    bool can_be =
        hf_is_ok(account_of(arena, uid, uid, &owner)) && account_objection(&owner) != NULL;

    hf_arena_free(arena);
    return can_be;
}

/* What a supervisor of the earlier release, which was root's, left in the servers' directories: it
 * is of no use to anybody, and whoever owns the directory may remove it as well. So it is removed,
 * not given: he could have called something else of root's so. */
static bool is_left_over(const struct tour *tour, const char *name, const struct stat *found)
{
    static const struct {
        const char *above;
        const char *name; /* or how a temporary one of it begins */
    } left[] = {
        {"run", "setup.lock"},
        {"run", "supervisor.lock"},
        {"run", "processes.json"},
        {"log", "supervisor.log"},
    };

    for (size_t i = 0; tour->depth == 2 && i < HF_LEN(left); i++) {
        size_t len = strlen(left[i].name);

        if (hf_text_equal(tour->names[1], left[i].above) && strncmp(name, left[i].name, len) == 0 &&
            (name[len] == '\0' || name[len] == '.')) {
            return S_ISREG(found->st_mode) && found->st_uid == 0;
        }
    }
    return false;
}

/* NULL, or why an entry of this owner stays as it is. */
static const char *objection_to_owner(const struct tour *tour, const char *name,
                                      const struct stat *found)
{
    struct move *move = tour->move;

    if (found->st_uid == move->to.uid || (found->st_uid != 0 && found->st_uid == move->former)) {
        return NULL;
    }
    if (found->st_uid == 0) {
        return is_roots_to_give(tour, name, found) || is_left_over(tour, name, found)
                   ? NULL
                   : "belongs to root; look at it, and chown it yourself if it is to be given";
    }
    if (move->is_former_sought && move->former == 0 && can_be_former(found->st_uid)) {
        move->former = found->st_uid;
        return NULL;
    }
    return "belongs to another user; look at it, and chown it yourself if it is to be given";
}

/* NULL, or why the entry is not what an installation is made of. A disk may be mounted on a
 * directory of the first level. */
static const char *objection(const struct tour *tour, const char *name, const struct stat *found)
{
    bool is_socket_of_ours = S_ISSOCK(found->st_mode) && is_in_run(tour);

    if (!S_ISDIR(found->st_mode) && !S_ISREG(found->st_mode) && !is_socket_of_ours) {
        return S_ISLNK(found->st_mode)
                   ? "is a link; mount what it leads to in its place (mount --bind)"
                   : "is neither a file nor a directory";
    }
    if (S_ISREG(found->st_mode) && found->st_nlink != 1) {
        return "has several names";
    }
    if (found->st_dev != tour->devices[tour->depth - 1] &&
        !(S_ISDIR(found->st_mode) && tour->depth == 1)) {
        return "lies on another file system";
    }
    if (S_ISDIR(found->st_mode) && tour->depth == MAX_DEPTH) {
        return "lies too deep";
    }
    return objection_to_owner(tour, name, found);
}

static void refuse(struct tour *tour, const char *name, const char *why)
{
    if (tour->refused_len++ < TOLD_MAX) {
        hf_buf_printf(&tour->refused, "%s%s %s", tour->refused.len == 0 ? "" : "; ",
                      path_of(tour, name), why);
    }
}

static struct hf_status refused(struct tour *tour)
{
    size_t more = tour->refused_len > TOLD_MAX ? tour->refused_len - TOLD_MAX : 0;
    const char *rest = more == 0 ? "" : hf_printf(tour->ctx->arena, "; and %zu more", more);

    return hf_fail_info(tour->ctx->arena, HF_FAILED_PRECONDITION, "NOT_TO_BE_MOVED", NULL,
                        "%s cannot be given to %s; take these away first, then repeat it: %s%s",
                        tour->move->path, tour->move->to.name, hf_buf_text(&tour->refused), rest);
}

static struct hf_status give(struct tour *tour, int fd, const char *name)
{
    const struct account *to = &tour->move->to;

    if (tour->is_judging) {
        return hf_success();
    }
    if (fchownat(fd, "", to->uid, to->gid, AT_EMPTY_PATH) != 0) {
        return hf_fail_errno(tour->ctx->arena, errno, "giving %s/%s to %s", tour->move->path,
                             path_of(tour, name), to->name);
    }
    tour->has_given = true;
    return hf_success();
}

/* What cannot be given (immutable, a read-only or a foreign file system) says so before anything is
 * changed: it is given to whom it belongs. */
static const char *objection_of_kernel(const struct tour *tour, int fd, const struct stat *found)
{
    return !tour->is_judging || fchownat(fd, "", found->st_uid, found->st_gid, AT_EMPTY_PATH) == 0
               ? NULL
               : hf_fail_errno(tour->ctx->arena, errno, "cannot be given away").message;
}

/* Closed to whoever has it open: what he adds later is in no list. */
static bool close_to_others(const struct tour *tour, int fd)
{
    return tour->is_judging || (fchown(fd, 0, 0) == 0 && fchmod(fd, 0700) == 0);
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
    tour->before[tour->depth] =
        (struct state){found.st_uid, found.st_gid, found.st_mode & (mode_t)07777};
    tour->are_roots[tour->depth] = tour->depth == 0
                                       ? tour->move->is_former_sought
                                       : tour->are_roots[tour->depth - 1] && found.st_uid == 0 &&
                                             (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    tour->depth++; /* before it is closed: what fails then is to be opened again */
    return close_to_others(tour, readable)
               ? hf_success()
               : hf_fail_errno(tour->ctx->arena, errno, "closing %s", name);
}

/* All below it is given; the first one waits for finish. */
static struct hf_status pop(struct tour *tour)
{
    size_t level = tour->depth - 1;

    tour->depth = level; /* its name is one of the level above */
    struct hf_status status =
        level == 0 ? hf_success() : give(tour, dirfd(tour->dirs[level]), tour->names[level]);

    if (!hf_is_ok(status)) {
        tour->depth = level + 1;
        return status;
    }
    (void)closedir(tour->dirs[level]);
    hf_heap_free(tour->names[level]);
    return status;
}

/* A socket of servers that have ended is nothing that somebody could own later. */
static struct hf_status take_away(struct tour *tour, int parent, const char *name)
{
    return tour->is_judging || unlinkat(parent, name, 0) == 0 || errno == ENOENT
               ? hf_success()
               : hf_fail_errno(tour->ctx->arena, errno, "removing %s", path_of(tour, name));
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
    const char *why = objection(tour, name, &found);

    if (why == NULL && !S_ISSOCK(found.st_mode)) {
        why = objection_of_kernel(tour, fd, &found);
    }
    if (why != NULL) {
        refuse(tour, name, why);
        return tour->is_judging ? hf_success() : refused(tour);
    }
    if (S_ISSOCK(found.st_mode) || is_left_over(tour, name, &found)) {
        return take_away(tour, parent, name);
    }
    return S_ISDIR(found.st_mode) ? push(tour, fd, name) : give(tour, fd, name);
}

/* lost+found is the file system's, of a disk that is mounted on the directory or below it. */
static bool is_left_out(const struct tour *tour, const char *name)
{
    if (tour->depth <= 2 && hf_text_equal(name, "lost+found")) {
        return true;
    }
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
            HF_TRY(pop(tour));
        } else if (!is_left_out(tour, entry->d_name)) {
            HF_TRY(take(tour, entry->d_name));
        }
    }
    return tour->refused_len == 0 ? hf_success() : refused(tour);
}

/* As it was before, from the deepest one up: the first one stays root's, so that whoever stops here
 * is gone on with. Before the first gift what was closed is what the tour stands in. */
static bool reopen(const struct tour *tour)
{
    bool is_as_before = !tour->has_given;

    for (size_t level = tour->depth; is_as_before && level > 1; level--) {
        const struct state *before = &tour->before[level - 1];
        int fd = dirfd(tour->dirs[level - 1]);

        is_as_before = fchmod(fd, before->mode) == 0 && fchown(fd, before->uid, before->gid) == 0;
    }
    return is_as_before;
}

/* ret_is_as_before  of a failure: nothing below the directory is changed */
static struct hf_status tour_run(struct hf_ctx *ctx, struct move *move, bool is_judging,
                                 bool *ret_is_as_before)
{
    HF_CLEANUP(tour_done) struct tour tour = {.ctx = ctx, .move = move, .is_judging = is_judging};

    hf_buf_init(&tour.refused, (size_t)1 << 18);
    struct hf_status status = travel(&tour);

    *ret_is_as_before = is_judging || (!hf_is_ok(status) && reopen(&tour));
    return status;
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

struct hf_status move_judge(struct hf_ctx *ctx, struct move *move)
{
    bool is_as_before = true;

    return tour_run(ctx, move, true, &is_as_before);
}

struct hf_status move_run(struct hf_ctx *ctx, struct move *move)
{
    struct stat before;
    bool is_as_before = false;

    HF_TRY(move_judge(ctx, move));
    if (fstat(move->dir, &before) != 0 || fchown(move->dir, 0, 0) != 0 ||
        fchmod(move->dir, 0700) != 0 || fsync(move->dir) != 0) {
        return hf_fail_errno(ctx->arena, errno, "closing %s", move->path);
    }
    struct hf_status status = tour_run(ctx, move, false, &is_as_before);

    if (!hf_is_ok(status) && is_as_before) { /* the earlier release goes on with it */
        (void)!fchown(move->dir, before.st_uid, before.st_gid);
        (void)fchmod(move->dir, before.st_mode & 07777);
    }
    HF_TRY(status);
    return finish(ctx, move);
}
