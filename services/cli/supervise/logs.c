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

static int copy(int dir, const char *name, const char *copy_name, const struct logs_limits *limits)
{
    HF_CLEANUP(hf_close) int from = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    HF_CLEANUP(hf_close)
    int to = openat(dir, copy_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = from < 0 || to < 0 ? errno : copy_tail(from, to, limits);

    if (error != 0) {
        (void)unlinkat(dir, copy_name, 0);
    }
    return from >= 0 && ftruncate(from, 0) != 0 ? errno : error;
}

static void rotate(struct hf_ctx *ctx, int dir, const char *name, const struct logs_limits *limits)
{
    (void)unlinkat(dir, older(ctx->arena, name, limits->files - 1), 0);
    for (int age = limits->files - 2; age >= 1; age--) {
        (void)renameat(dir, older(ctx->arena, name, age), dir, older(ctx->arena, name, age + 1));
    }
    int error = copy(dir, name, older(ctx->arena, name, 1), limits);

    if (error != 0) {
        hf_warn(ctx, HF_EVENT("log.part_lost"), HF_TEXT("file", name),
                HF_TEXT("error", hf_fail_errno(ctx->arena, error, "copying it").message));
    }
}

static bool is_too_long(int dir, const char *name, const struct logs_limits *limits)
{
    struct stat found;

    return hf_has_suffix(name, SUFFIX) && fstatat(dir, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(found.st_mode) && found.st_size > limits->file_bytes;
}

void logs_tend(struct hf_ctx *ctx, const char *dir, const struct logs_limits *limits)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;

    if (entries == NULL) {
        hf_close_cleanup(&fd);
        hf_warn(ctx, HF_EVENT("log.not_tended"),
                HF_TEXT("error", hf_fail_errno(ctx->arena, errno, "opening %s", dir).message));
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        if (is_too_long(dirfd(entries), entry->d_name, limits)) {
            rotate(ctx, dirfd(entries), hf_strdup(ctx->arena, entry->d_name), limits);
        }
    }
    closedir(entries);
}
