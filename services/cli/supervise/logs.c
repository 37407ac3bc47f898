/* Rotation by copy and truncate. After a crash between two steps the next look finds the file still
 * too long and begins again: at worst a part is there twice. All is done below one descriptor, and
 * no link is followed. */
#include "cli/supervise/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define SUFFIX ".log"

static const char *older(struct hf_arena *arena, const char *name, int age)
{
    return age == 0 ? name : hf_printf(arena, "%s.%d", name, age);
}

/* The last file_bytes of from. Returns 0 or an errno. */
static int copy_tail(int from, int to, const struct logs_limits *limits)
{
    struct stat found;

    if (fstat(from, &found) != 0) {
        return errno;
    }
    off_t at = found.st_size > limits->file_bytes ? found.st_size - limits->file_bytes : 0;
    while (at < found.st_size) {
        ssize_t moved = copy_file_range(from, &at, to, NULL, (size_t)(found.st_size - at), 0);
        if (moved <= 0) {
            return moved == 0 ? 0 : errno; /* 0: somebody else emptied it */
        }
    }
    return 0;
}

static int copy(int dir, int from, const char *copy_name, const struct logs_limits *limits)
{
    HF_CLEANUP(hf_close)
    int to = openat(dir, copy_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = to < 0 ? errno : copy_tail(from, to, limits);

    if (error != 0) {
        (void)unlinkat(dir, copy_name, 0);
    }
    return ftruncate(from, 0) != 0 ? errno : error;
}

/* from: the log of that name, whatever it is called by now. */
static void rotate(struct hf_ctx *ctx, int dir, const char *name, int from,
                   const struct logs_limits *limits)
{
    (void)unlinkat(dir, older(ctx->arena, name, limits->files - 1), 0);
    for (int age = limits->files - 2; age >= 1; age--) {
        (void)renameat(dir, older(ctx->arena, name, age), dir, older(ctx->arena, name, age + 1));
    }
    int error = copy(dir, from, older(ctx->arena, name, 1), limits);

    if (error != 0) {
        hf_warn(ctx, HF_EVENT("log.part_lost"), HF_TEXT("file", name),
                HF_TEXT("error", hf_fail_errno(ctx->arena, error, "copying it").message));
    }
}

static bool is_too_long(int fd, const struct logs_limits *limits)
{
    struct stat found;

    return fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) &&
           found.st_size > limits->file_bytes;
}

/* The directory may be a link, through which the servers write, too; a log may be none. A FIFO has
 * no reader to wait for. */
static int open_log(int dir, const char *name)
{
    return openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
}

static void not_tended(struct hf_ctx *ctx, const char *dir, int error)
{
    hf_warn(ctx, HF_EVENT("log.not_tended"),
            HF_TEXT("error", hf_fail_errno(ctx->arena, error, "opening %s", dir).message));
}

void logs_tend(struct hf_ctx *ctx, const char *dir, const struct logs_limits *limits)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    if (entries == NULL) {
        hf_close_cleanup(&fd);
        not_tended(ctx, dir, errno);
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        const char *name = entry->d_name;
        HF_CLEANUP(hf_close)
        int log = hf_has_suffix(name, SUFFIX) ? open_log(dirfd(entries), name) : -1;

        if (is_too_long(log, limits)) {
            rotate(ctx, dirfd(entries), hf_strdup(ctx->arena, name), log, limits);
        }
    }
    closedir(entries);
}

void logs_tend_open(struct hf_ctx *ctx, const char *dir, const char *name, int log,
                    const struct logs_limits *limits)
{
    if (!is_too_long(log, limits)) {
        return;
    }
    HF_CLEANUP(hf_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        not_tended(ctx, dir, errno);
        return;
    }
    rotate(ctx, fd, name, log, limits);
}

const char *logs_mark(struct hf_arena *arena, int log)
{
    struct stat found;

    return log >= 0 && fstat(log, &found) == 0 && S_ISREG(found.st_mode)
               ? hf_printf(arena, "%llx:%llx", (unsigned long long)found.st_dev,
                           (unsigned long long)found.st_ino)
               : "";
}

static int open_marked(struct hf_arena *arena, const char *dir, const char *mark)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    int found = -1;

    if (entries == NULL) {
        hf_close_cleanup(&fd);
        return -1;
    }
    while (found < 0 && (entry = readdir(entries)) != NULL) {
        found = open_log(dirfd(entries), entry->d_name);
        if (found >= 0 && !hf_text_equal(logs_mark(arena, found), mark)) {
            hf_close_cleanup(&found);
            found = -1;
        }
    }
    closedir(entries);
    return found;
}

int logs_open(struct hf_arena *arena, const char *dir, const char *name, pid_t pid,
              const char *mark)
{
    int log = pid == 0 ? -1
                       : open(hf_printf(arena, "/proc/%d/fd/1", (int)pid),
                              O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (log >= 0) {
        return log;
    }
    return hf_text_empty(mark) ? open_log(AT_FDCWD, hf_path_join(arena, dir, name))
                               : open_marked(arena, dir, mark);
}

const char *logs_tail(struct hf_arena *arena, const char *path, size_t max_bytes)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    struct stat found;
    char *text = hf_alloc(arena, max_bytes + 1);
    size_t got = 0;

    if (fd < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
        return "";
    }
    size_t size = (size_t)found.st_size;
    uint64_t at = size > max_bytes ? size - max_bytes : 0;

    if (!hf_is_ok(hf_pread_full(arena, fd, text, max_bytes, at, path, &got))) {
        return "";
    }
    text[got] = '\0';
    return text;
}
