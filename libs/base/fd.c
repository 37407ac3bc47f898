/* Files that survive a crash: content first, then the name, then the directory. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/id.h"

#define READ_STEP_BYTES 65536

struct hf_status hf_write_all(struct hf_arena *arena, int fd, const void *bytes, size_t len,
                              const char *name)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno != EINTR) {
            return hf_fail_errno(arena, errno, "writing %s", name);
        }
        if (written > 0) {
            at += written;
            len -= (size_t)written;
        }
    }
    return hf_success();
}

struct hf_status hf_pwrite_all(struct hf_arena *arena, int fd, const void *bytes, size_t len,
                               uint64_t offset, const char *name)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        ssize_t written = pwrite(fd, at, len, (off_t)offset);
        if (written < 0 && errno != EINTR) {
            return hf_fail_errno(arena, errno, "writing %s at %" PRIu64, name, offset);
        }
        if (written > 0) {
            at += written;
            len -= (size_t)written;
            offset += (uint64_t)written;
        }
    }
    return hf_success();
}

/* NOLINTNEXTLINE(readability-function-size): pread's own five, the arena and the name. */
struct hf_status hf_pread_full(struct hf_arena *arena, int fd, void *ret_bytes, size_t len,
                               uint64_t offset, const char *name, size_t *ret_len)
{
    uint8_t *at = ret_bytes;
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(fd, at + done, len - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR) {
            return hf_fail_errno(arena, errno, "reading %s at %" PRIu64, name, offset + done);
        }
        if (got == 0) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    *ret_len = done;
    return hf_success();
}

/* One read(2) of at most READ_STEP_BYTES; ret_len 0 at the end. Past the ceiling it is full. */
static struct hf_status read_step(struct hf_arena *arena, int fd, const char *path,
                                  struct hf_buf *buf, size_t *ret_len)
{
    size_t left = buf->max - buf->len;
    size_t want = left < READ_STEP_BYTES ? left : READ_STEP_BYTES;
    uint8_t probe;
    uint8_t *room = want == 0 ? &probe : hf_buf_extend(buf, want);

    HF_CHECK(room != NULL);
    ssize_t got;
    do {
        got = read(fd, room, want == 0 ? 1 : want);
    } while (got < 0 && errno == EINTR);
    int error = errno;
    buf->len -= want;
    if (got < 0) {
        return hf_fail_errno(arena, error, "reading %s", path);
    }
    if (want == 0 && got > 0) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "%s is larger than %zu bytes", path, buf->max);
    }
    buf->len += want == 0 ? 0 : (size_t)got;
    *ret_len = (size_t)got;
    return hf_success();
}

struct hf_status hf_read_open(struct hf_arena *arena, int fd, const char *name, struct hf_buf *buf)
{
    size_t got = 1;

    while (got > 0) {
        HF_TRY(read_step(arena, fd, name, buf, &got));
    }
    return hf_success();
}

struct hf_status hf_read_file(struct hf_arena *arena, const char *path, struct hf_buf *buf)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? hf_fail_errno(arena, errno, "opening %s", path)
                  : hf_read_open(arena, fd, path, buf);
}

static struct hf_status judge_trust(struct hf_arena *arena, int fd, const char *path,
                                    enum hf_trust trust)
{
    const mode_t forbidden = trust == HF_TRUST_SECRET ? 077 : 022;
    struct stat found;

    if (fstat(fd, &found) != 0) {
        return hf_fail_errno(arena, errno, "looking at %s", path);
    }
    if (!S_ISREG(found.st_mode)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION, "%s is not a regular file", path);
    }
    if (found.st_uid != 0 && found.st_uid != geteuid()) {
        return hf_fail(arena, HF_FAILED_PRECONDITION,
                       "%s belongs to user %u: expected root or user %u, which reads it", path,
                       (unsigned)found.st_uid, (unsigned)geteuid());
    }
    if ((found.st_mode & forbidden) != 0) {
        return hf_fail(arena, HF_FAILED_PRECONDITION,
                       "%s may be %s by others (mode %03o): chmod %s it", path,
                       trust == HF_TRUST_SECRET ? "read" : "written",
                       (unsigned)found.st_mode & 0777, trust == HF_TRUST_SECRET ? "600" : "go-w");
    }
    return hf_success();
}

struct hf_status hf_read_trusted(struct hf_arena *arena, const char *path, enum hf_trust trust,
                                 struct hf_buf *buf)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t got = 1;

    if (fd < 0) {
        return hf_fail_errno(arena, errno, "opening %s", path);
    }
    HF_TRY(judge_trust(arena, fd, path, trust));
    while (got > 0) {
        HF_TRY(read_step(arena, fd, path, buf, &got));
    }
    return hf_success();
}

struct hf_status hf_fsync(struct hf_arena *arena, int fd, const char *name)
{
    while (fsync(fd) != 0) {
        if (errno != EINTR) {
            return hf_fail_errno(arena, errno, "flushing %s", name);
        }
    }
    return hf_success();
}

struct hf_status hf_fsync_dir(struct hf_arena *arena, const char *path)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return hf_fail_errno(arena, errno, "opening directory %s", path);
    }
    return hf_fsync(arena, fd, path);
}

static char *parent_of(struct hf_arena *arena, const char *path)
{
    return dirname(hf_strdup(arena, path));
}

static char *temp_name(struct hf_arena *arena, const char *path)
{
    uint8_t random[8];

    hf_random(random, sizeof(random));
    return hf_printf(arena, "%s.%s.tmp", path, hf_hex(arena, random, sizeof(random)));
}

/* A new file at path with these bytes, flushed. fchmod because the umask must not widen or narrow
 * what the caller asked for. */
static struct hf_status write_new(struct hf_arena *arena, const char *path, struct hf_bytes content,
                                  mode_t mode)
{
    HF_CLEANUP(hf_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(arena, errno, "creating %s", path);
    }
    if (fchmod(fd, mode) != 0) {
        return hf_fail_errno(arena, errno, "setting the mode of %s", path);
    }
    HF_TRY(hf_write_all(arena, fd, content.ptr, content.len, path));
    return hf_fsync(arena, fd, path);
}

/* rename(2) or link(2): gives the temporary file its name. */
static struct hf_status place(struct hf_arena *arena, const char *path, struct hf_bytes content,
                              mode_t mode, int (*give_name)(const char *from, const char *to))
{
    const char *temp = temp_name(arena, path);
    struct hf_status status = write_new(arena, temp, content, mode);

    if (hf_is_ok(status) && give_name(temp, path) != 0) {
        status = hf_fail_errno(arena, errno, "creating %s", path);
    }
    (void)unlink(temp);
    HF_TRY(status);
    return hf_fsync_dir(arena, parent_of(arena, path));
}

struct hf_status hf_replace_file(struct hf_arena *arena, const char *path, const void *bytes,
                                 size_t len, mode_t mode)
{
    return place(arena, path, (struct hf_bytes){bytes, len}, mode, rename);
}

struct hf_status hf_create_file(struct hf_arena *arena, const char *path, const void *bytes,
                                size_t len, mode_t mode)
{
    return place(arena, path, (struct hf_bytes){bytes, len}, mode, link);
}

/* One directory; an existing one is fine. */
static struct hf_status make_dir(struct hf_arena *arena, const char *path, mode_t mode)
{
    struct stat info;

    if (mkdir(path, mode) == 0) {
        return hf_fsync_dir(arena, parent_of(arena, path));
    }
    int error = errno;
    if (error == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return hf_success();
    }
    return hf_fail_errno(arena, error, "creating directory %s", path);
}

struct hf_status hf_make_dirs(struct hf_arena *arena, const char *path, mode_t mode)
{
    char *partial = hf_strdup(arena, path);

    for (char *at = partial + 1; *partial != '\0' && *at != '\0'; at++) {
        if (*at != '/') {
            continue;
        }
        *at = '\0';
        HF_TRY(make_dir(arena, partial, mode));
        *at = '/';
    }
    return make_dir(arena, path, mode);
}

bool hf_path_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

char *hf_path_join(struct hf_arena *arena, const char *a, const char *b)
{
    size_t len = strlen(a);

    while (len > 1 && a[len - 1] == '/') {
        len--;
    }
    while (*b == '/') {
        b++;
    }
    const char *slash = len == 1 && a[0] == '/' ? "" : "/";
    return hf_printf(arena, "%.*s%s%s", (int)len, a, slash, b);
}

const char *hf_path_parent(struct hf_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL   ? "."
           : slash == path ? "/"
                           : hf_strndup(arena, path, (size_t)(slash - path));
}
