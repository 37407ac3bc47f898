/* hf_place_find, and the name that the place has. */
#include "cli/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/fd.h"
#include "base/str.h"

/* What the kernel calls the directory: absolute, without links and dots. */
static struct hf_status name_of(struct hf_ctx *ctx, int fd, const char **ret_path)
{
    char *path = hf_alloc(ctx->arena, PATH_MAX);
    ssize_t len = readlink(hf_printf(ctx->arena, "/proc/self/fd/%d", fd), path, PATH_MAX - 1);

    if (len <= 0) {
        return hf_fail_errno(ctx->arena, errno, "asking for the name of a directory");
    }
    path[len] = '\0';
    *ret_path = path;
    return hf_success();
}

/* Who decides what is in a directory above. */
enum above { ABOVE_ANYBODY, ABOVE_TWO, ABOVE_ROOT };

struct judging {
    const char *path;
    enum above above;
    uid_t owner; /* of ABOVE_TWO: beside root */
};

static bool is_open_to_all(const struct stat *found)
{
    return (found->st_mode & S_IWOTH) != 0 && (found->st_mode & S_ISVTX) == 0;
}

/* Root alone: a group's members are others, and the mask of an access list stands in its place. */
static bool is_roots_alone(const struct stat *found)
{
    return found->st_uid == 0 && ((found->st_mode & S_ISVTX) != 0 ||
                                  ((found->st_mode & S_IWOTH) == 0 &&
                                   ((found->st_mode & S_IWGRP) == 0 || found->st_gid == 0)));
}

static struct hf_status judge_one(struct hf_ctx *ctx, const struct judging *judging,
                                  const struct stat *found)
{
    bool is_of_two = found->st_uid == 0 || found->st_uid == judging->owner;

    if (is_open_to_all(found)) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "OPEN_DIRECTORY", NULL,
                            "everybody may rename what is in a directory above %s; take its "
                            "write permission from others, or choose another directory",
                            judging->path);
    }
    if ((judging->above == ABOVE_TWO && !is_of_two) ||
        (judging->above == ABOVE_ROOT && !is_roots_alone(found))) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                            "a directory above %s belongs to user %u or is open to a group, who "
                            "can put another in its place; run it as that user or choose another "
                            "directory",
                            judging->path, (unsigned)found->st_uid);
    }
    return hf_success();
}

/* In a directory where somebody else may rename, he puts another one in the place of what was just
 * judged. fd is the first that matters. */
static struct hf_status judge_parents(struct hf_ctx *ctx, int fd, const struct judging *judging)
{
    HF_CLEANUP(hf_close) int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat below = {0};
    struct stat found;

    while (at >= 0 && fstat(at, &found) == 0 &&
           (found.st_ino != below.st_ino || found.st_dev != below.st_dev)) {
        HF_TRY(judge_one(ctx, judging, &found));
        int above = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        below = found;
        hf_close_cleanup(&at);
        at = above;
    }
    return at < 0 ? hf_fail_errno(ctx->arena, errno, "looking above %s", judging->path)
                  : hf_success();
}

/* The directory itself may be anybody's to judge; what is above it is judged for root. */
static struct hf_status judge(struct hf_ctx *ctx, const struct walk *walk, enum above above,
                              uid_t owner)
{
    const struct judging judging = {walk->path, above, owner};

    if (geteuid() != 0) {
        return hf_success();
    }
    HF_CLEANUP(hf_close)
    int first =
        openat(walk->fd, *walk->missing == '\0' ? ".." : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return judge_parents(ctx, first, &judging);
}

struct hf_status walk_open(struct hf_ctx *ctx, const char *path, struct walk *ret_walk)
{
    struct hf_place place;
    HF_CLEANUP(walk_done) struct walk walk = {.fd = -1};
    const char *found = "";

    HF_TRY(hf_place_find(ctx->arena, path, &place));
    walk.fd = place.fd;
    walk.missing = place.rest;
    HF_TRY(name_of(ctx, place.fd, &found));
    walk.path = *place.rest == '\0' ? found : hf_path_join(ctx->arena, found, place.rest);
    HF_TRY(judge(ctx, &walk, ABOVE_ANYBODY, 0));
    *ret_walk = walk;
    walk.fd = -1; /* the caller's now */
    return hf_success();
}

void walk_done(struct walk *walk)
{
    hf_close_cleanup(&walk->fd);
}

struct hf_status walk_check_roots(struct hf_ctx *ctx, const struct walk *walk)
{
    struct stat found;

    if (fstat(walk->fd, &found) != 0) {
        return hf_fail_errno(ctx->arena, errno, "examining %s", walk->path);
    }
    return is_roots_alone(&found) && (found.st_mode & S_IWOTH) == 0
               ? judge(ctx, walk, ABOVE_ROOT, 0)
               : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                              "others than root may write to %s", walk->path);
}

/* The first part of rest, "" at its end; *rest moves behind it. */
static const char *next_name(struct hf_ctx *ctx, const char **rest)
{
    size_t len = strcspn(*rest, "/");
    const char *name = hf_strndup(ctx->arena, *rest, len);

    *rest += len + strspn(*rest + len, "/");
    return name;
}

/* Ours or root's or the owner's; for root all above, for it would write wherever somebody leads. A
 * directory of root's that is there already must be where root put it. */
static struct hf_status judge_place(struct hf_ctx *ctx, const struct walk *walk, uid_t owner)
{
    struct stat found;
    bool is_there = *walk->missing == '\0';

    if (fstat(walk->fd, &found) != 0) {
        return hf_fail_errno(ctx->arena, errno, "examining %s", walk->path);
    }
    if (geteuid() == 0) {
        return is_there && found.st_uid == 0 ? walk_check_roots(ctx, walk)
                                             : judge(ctx, walk, ABOVE_TWO, owner);
    }
    return is_there || found.st_uid == 0 || found.st_uid == owner || found.st_uid == geteuid()
               ? hf_success()
               : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                              "%s would be made in a directory of user %u, who can put another in "
                              "its place; run it as that user or choose another directory",
                              walk->path, (unsigned)found.st_uid);
}

struct making {
    const struct walk *walk;
    uid_t owner;
};

static struct hf_status make_one(struct hf_ctx *ctx, const struct making *making, int *fd,
                                 const char *name, mode_t mode)
{
    const char *path = making->walk->path;
    struct stat made;

    if (mkdirat(*fd, name, mode) != 0 && errno != EEXIST) { /* another `up` may make it, too */
        return hf_fail_errno(ctx->arena, errno, "making %s of %s", name, path);
    }
    int next = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (next < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s of %s", name, path);
    }
    hf_close_cleanup(fd);
    *fd = next;
    return fstat(next, &made) == 0 && (made.st_uid == geteuid() || made.st_uid == making->owner) &&
                   fchmod(next, mode) == 0
               ? hf_success()
               : hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "somebody put another %s in %s", name,
                         path);
}

struct hf_status walk_make(struct hf_ctx *ctx, const struct walk *walk, uid_t owner, int *ret_fd,
                           bool *ret_is_made)
{
    const struct making making = {walk, owner};
    const char *rest = walk->missing;
    HF_CLEANUP(hf_close) int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening the directory of %s", walk->path);
    }
    HF_TRY(judge_place(ctx, walk, owner));
    for (const char *name = next_name(ctx, &rest); *name != '\0'; name = next_name(ctx, &rest)) {
        bool is_last = *rest == '\0';

        HF_TRY(make_one(ctx, &making, &fd, name, is_last || geteuid() != 0 ? 0700 : 0755));
    }
    *ret_is_made = *walk->missing != '\0';
    *ret_fd = fd;
    fd = -1; /* the caller's now */
    return hf_success();
}
