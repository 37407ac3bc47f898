/* Reading where somebody else may write: below a directory that belongs to another user. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/beneath.h"
#include "base/fd.h"

/* What may be believed: an ordinary file with this one name, made by root or by the owner. */
static struct hf_status judge(struct hf_arena *arena, int dir, int fd, const char *path)
{
    struct stat above;
    struct stat found;

    if (fstat(dir, &above) != 0 || fstat(fd, &found) != 0) {
        return hf_fail_errno(arena, errno, "examining %s", path);
    }
    if (!S_ISREG(found.st_mode)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION, "%s is no ordinary file", path);
    }
    if (found.st_nlink != 1) {
        return hf_fail(arena, HF_FAILED_PRECONDITION, "%s has %llu names, expected one", path,
                       (unsigned long long)found.st_nlink);
    }
    if (found.st_uid != 0 && found.st_uid != above.st_uid) {
        return hf_fail(arena, HF_PERMISSION_DENIED,
                       "%s belongs to user %u, expected the directory's owner", path,
                       (unsigned)found.st_uid);
    }
    return hf_success();
}

struct hf_status hf_read_below(struct hf_arena *arena, const char *dir, const char *name,
                               struct hf_buf *buf)
{
    const char *path = hf_path_join(arena, dir, name);
    HF_CLEANUP(hf_close) int above = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (above < 0) {
        return hf_fail_errno(arena, errno, "opening directory %s", dir);
    }
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(above, name, O_RDONLY | O_NONBLOCK, 0);

    if (fd < 0 && (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION, "a symbolic link leads to %s", path);
    }
    if (fd < 0) {
        return hf_fail_errno(arena, errno, "opening %s", path);
    }
    HF_TRY(judge(arena, above, fd, path));
    return hf_read_open(arena, fd, path, buf);
}
