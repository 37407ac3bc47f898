/* Names below a descriptor. The surprise: openat2 knows the rules since Linux 5.6; an older kernel
 * gets the same by opening part for part. */
#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"

#define LINKS_MAX 40
#define TRIES_MAX 64
#define PATH_BYTES 4096
#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* --- below a descriptor --------------------------------------------------------------------- */

static bool is_dots(const char *part, size_t len)
{
    return (len == 1 || len == 2) && memcmp(part, "..", len) == 0;
}

/* Closes what it does not return; errno stays that of the failure. */
static int step(int at, int next)
{
    int error = errno;

    close(at);
    errno = error;
    return next;
}

/* Part for part; *ret_name is the last one. */
static int walk_parents(int dir, const char *path, const char **ret_name)
{
    char part[NAME_MAX + 1];
    int at = openat(dir, ".", DIR_FLAGS);
    const char *slash = NULL;

    while (at >= 0 && (slash = strchr(path, '/')) != NULL) {
        size_t len = (size_t)(slash - path);

        if (len == 0 || len >= sizeof(part) || is_dots(path, len)) {
            errno = len >= sizeof(part) ? ENAMETOOLONG : EXDEV;
            return step(at, -1);
        }
        memcpy(part, path, len);
        part[len] = '\0';
        at = step(at, openat(at, part, DIR_FLAGS));
        path = slash + 1;
    }
    *ret_name = path;
    return at;
}

static int walk_open(int dir, const char *path, int flags, mode_t mode)
{
    const char *name = NULL;

    if (hf_text_equal(path, ".")) {
        return openat(dir, path, flags);
    }
    int at = walk_parents(dir, path, &name);

    if (at < 0) {
        return -1;
    }
    if (is_dots(name, strlen(name))) {
        errno = EXDEV;
        return step(at, -1);
    }
    return step(at, openat(at, name, flags | O_NOFOLLOW, mode));
}

int hf_beneath_open(int dir, const char *path, int flags, mode_t mode)
{
    const struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    long fd = -1;

    /* EAGAIN: something was renamed on the way, and nothing is known to be wrong; or, with
     * O_NONBLOCK, another process has a lease on the file, and keeps it as long as it likes. */
    for (int tries = 0; fd < 0 && tries < TRIES_MAX; tries++) {
        fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
        if (fd < 0 && errno != EAGAIN && errno != EINTR) {
            break;
        }
    }
    return fd < 0 && errno == ENOSYS ? walk_open(dir, path, flags | O_CLOEXEC, mode) : (int)fd;
}

int hf_beneath_parent(int dir, const char *path, const char **ret_name)
{
    char parent[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    const char *name = slash == NULL ? path : slash + 1;

    if (len >= sizeof(parent) || name[0] == '\0' || is_dots(name, strlen(name))) {
        errno = len >= sizeof(parent) ? ENAMETOOLONG : EXDEV;
        return -1;
    }
    memcpy(parent, len == 0 ? "." : path, len == 0 ? 1 : len);
    parent[len == 0 ? 1 : len] = '\0';
    *ret_name = name;
    return hf_beneath_open(dir, parent, O_PATH | O_DIRECTORY, 0);
}

/* --- an absolute path ----------------------------------------------------------------------- */

struct walk {
    struct hf_arena *arena;
    const char *path; /* as it was given, for messages */
    const char *left; /* what is to be followed; in arena */
    int fd;           /* of the directory reached */
    struct stat info; /* of it */
    bool is_foreign;
    unsigned links;
};

static bool is_trusted(const struct stat *info)
{
    return info->st_uid == 0 || info->st_uid == geteuid();
}

static struct hf_status unsafe(const struct walk *walk, const char *part, const char *what)
{
    const char *const metadata[] = {"path", walk->path, "part", part, NULL};

    return hf_fail_info(walk->arena, HF_FAILED_PRECONDITION, "UNSAFE_PATH", metadata,
                        "%s: %s %s, so that somebody else would choose where it leads; name the "
                        "directory itself",
                        walk->path, part, what);
}

/* Takes fd, which is closed with the walk. */
static struct hf_status walk_enter(struct walk *walk, int fd)
{
    if (walk->fd >= 0) {
        close(walk->fd);
    }
    walk->fd = fd;
    if (fstat(fd, &walk->info) != 0) {
        return hf_fail_errno(walk->arena, errno, "looking at %s", walk->path);
    }
    walk->is_foreign = walk->is_foreign || !is_trusted(&walk->info);
    return hf_success();
}

static struct hf_status walk_root(struct walk *walk)
{
    int fd = open("/", DIR_FLAGS);

    if (fd < 0) {
        return hf_fail_errno(walk->arena, errno, "opening /");
    }
    walk->is_foreign = false;
    return walk_enter(walk, fd);
}

/* link: open with O_PATH. */
static struct hf_status walk_link(struct walk *walk, int link, const char *part,
                                  const struct stat *info)
{
    char text[PATH_BYTES];
    ssize_t len = readlinkat(link, "", text, sizeof(text) - 1);

    if (!is_trusted(info) || !is_trusted(&walk->info)) {
        return unsafe(walk, part, "is a link in a directory of another user or by another user");
    }
    if (len <= 0 || ++walk->links > LINKS_MAX) {
        return hf_fail(walk->arena, HF_FAILED_PRECONDITION, "%s: too many links, or a broken one",
                       walk->path);
    }
    text[len] = '\0';
    walk->left = hf_printf(walk->arena, "%s/%s", text, walk->left);
    return text[0] == '/' ? walk_root(walk) : hf_success();
}

static struct hf_status walk_up(struct walk *walk)
{
    if (walk->is_foreign) {
        return unsafe(walk, "..", "leads out of a directory of another user");
    }
    int fd = openat(walk->fd, "..", DIR_FLAGS);

    return fd < 0 ? hf_fail_errno(walk->arena, errno, "opening %s", walk->path)
                  : walk_enter(walk, fd);
}

/* One part that may be there; false: nothing is. */
static struct hf_status walk_part(struct walk *walk, const char *part, bool *ret_is_there)
{
    HF_CLEANUP(hf_close) int fd = openat(walk->fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;

    *ret_is_there = fd >= 0 || errno != ENOENT;
    if (!*ret_is_there) {
        return hf_success();
    }
    if (fd < 0 || fstat(fd, &info) != 0) {
        return hf_fail_errno(walk->arena, errno, "opening %s", walk->path);
    }
    if (S_ISLNK(info.st_mode)) {
        return walk_link(walk, fd, part, &info);
    }
    if (!S_ISDIR(info.st_mode)) {
        return hf_fail(walk->arena, HF_FAILED_PRECONDITION, "%s: %s is not a directory", walk->path,
                       part);
    }
    int taken = fd;

    fd = -1;
    return walk_enter(walk, taken);
}

/* What is not there: parts without slashes in excess; nobody can say what ".." means in it. */
static struct hf_status rest_of(const struct walk *walk, const char *first, const char **ret_rest)
{
    char *rest = hf_strdup(walk->arena, first);

    for (const char *at = walk->left; *at != '\0';) {
        size_t len = strcspn(at, "/");

        if (is_dots(at, len)) {
            return hf_fail(walk->arena, HF_INVALID_ARGUMENT,
                           "%s: \".\" and \"..\" cannot follow what does not exist", walk->path);
        }
        if (len > 0) {
            rest = hf_printf(walk->arena, "%s/%.*s", rest, (int)len, at);
        }
        at += len + (at[len] == '/');
    }
    *ret_rest = rest;
    return hf_success();
}

static struct hf_status walk_all(struct walk *walk, const char **ret_rest)
{
    bool is_there = true;

    HF_TRY(walk_root(walk));
    while (walk->left[0] != '\0') {
        size_t len = strcspn(walk->left, "/");
        const char *part = hf_strndup(walk->arena, walk->left, len);

        walk->left += len + (walk->left[len] == '/');
        if (hf_text_equal(part, "..")) {
            HF_TRY(walk_up(walk));
        } else if (len > 0 && !hf_text_equal(part, ".")) {
            HF_TRY(walk_part(walk, part, &is_there));
        }
        if (!is_there) {
            return rest_of(walk, part, ret_rest);
        }
    }
    *ret_rest = "";
    return hf_success();
}

struct hf_status hf_place_find(struct hf_arena *arena, const char *path, struct hf_place *ret_place)
{
    struct walk walk = {.arena = arena, .path = path, .left = path, .fd = -1};
    const char *rest = NULL;

    if (path[0] != '/' || strlen(path) >= PATH_BYTES) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%.200s must be an absolute path", path);
    }
    struct hf_status status = walk_all(&walk, &rest);

    if (!hf_is_ok(status)) {
        if (walk.fd >= 0) {
            close(walk.fd);
        }
        return status;
    }
    *ret_place = (struct hf_place){walk.fd, rest, walk.info.st_dev, walk.info.st_ino};
    return hf_success();
}

/* Is b's directory found on the way from a's up to the root, which is its own parent? */
struct hf_status hf_place_is_within(struct hf_arena *arena, const struct hf_place *a,
                                    const struct hf_place *b, bool *ret_is_within)
{
    size_t len = strlen(b->rest);
    struct stat below = {0};
    struct stat info = {0};

    if (len > 0) {
        *ret_is_within = a->dev == b->dev && a->ino == b->ino && hf_has_prefix(a->rest, b->rest) &&
                         (a->rest[len] == '\0' || a->rest[len] == '/');
        return hf_success();
    }
    HF_CLEANUP(hf_close) int at = openat(a->fd, ".", DIR_FLAGS);

    while (at >= 0 && fstat(at, &info) == 0) {
        *ret_is_within = info.st_dev == b->dev && info.st_ino == b->ino;
        if (*ret_is_within || (info.st_dev == below.st_dev && info.st_ino == below.st_ino)) {
            return hf_success();
        }
        below = info;
        at = step(at, openat(at, "..", DIR_FLAGS));
    }
    return hf_fail_errno(arena, errno, "looking at the directories above");
}
