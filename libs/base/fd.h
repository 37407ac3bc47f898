/* Files and directories the safe way: whole writes, fsync of file and directory, atomic
 * replacement. Paths are NUL-terminated. Every error names the path. */
#ifndef HF_BASE_FD_H
#define HF_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"

static inline void hf_close_cleanup(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* All len bytes or an error; EINTR and short transfers are handled. */
struct hf_status hf_write_all(struct hf_arena *arena, int fd, const void *bytes, size_t len,
                              const char *name) HF_MUST_USE;
struct hf_status hf_pwrite_all(struct hf_arena *arena, int fd, const void *bytes, size_t len,
                               uint64_t offset, const char *name) HF_MUST_USE;
/* Up to len bytes; ret_len < len only at end of file. */
struct hf_status hf_pread_full(struct hf_arena *arena, int fd, void *ret_bytes, size_t len,
                               uint64_t offset, const char *name, size_t *ret_len) HF_MUST_USE;

/* Append the whole file to buf (its max is the ceiling). NOT_FOUND when absent. */
struct hf_status hf_read_file(struct hf_arena *arena, const char *path,
                              struct hf_buf *buf) HF_MUST_USE;
/* The same of a file that decides what this process does: a regular file of root or of this
 * process's user that nobody else may write, and for SECRET not read either. What is judged is what
 * is read; a FIFO in its place makes nobody wait.
 * Errors   FAILED_PRECONDITION it is not such a file; NOT_FOUND */
enum hf_trust { HF_TRUST_OURS, HF_TRUST_SECRET };
struct hf_status hf_read_trusted(struct hf_arena *arena, const char *path, enum hf_trust trust,
                                 struct hf_buf *buf) HF_MUST_USE;
/* The same of a file that is open, from where it stands. name is for messages. */
struct hf_status hf_read_open(struct hf_arena *arena, int fd, const char *name,
                              struct hf_buf *buf) HF_MUST_USE;
/* The same below a directory that somebody else may write to: no link is followed on the way from
 * dir, a FIFO does not block, and the file is an ordinary one with one name that belongs to root or
 * to dir's owner; else FAILED_PRECONDITION or PERMISSION_DENIED. */
struct hf_status hf_read_below(struct hf_arena *arena, const char *dir, const char *name,
                               struct hf_buf *buf) HF_MUST_USE;
/* Temp file in the same directory, fsync, rename, fsync of the directory. */
struct hf_status hf_replace_file(struct hf_arena *arena, const char *path, const void *bytes,
                                 size_t len, mode_t mode) HF_MUST_USE;
/* Exclusive: ALREADY_EXISTS when path is there; fsynced like the above. */
struct hf_status hf_create_file(struct hf_arena *arena, const char *path, const void *bytes,
                                size_t len, mode_t mode) HF_MUST_USE;
struct hf_status hf_fsync(struct hf_arena *arena, int fd, const char *name) HF_MUST_USE;
struct hf_status hf_fsync_dir(struct hf_arena *arena, const char *path) HF_MUST_USE;
/* mkdir -p with mode for new directories, each fsynced into its parent. */
struct hf_status hf_make_dirs(struct hf_arena *arena, const char *path, mode_t mode) HF_MUST_USE;
bool hf_path_exists(const char *path);
/* rm -r below and including path; follows no symlink. OK when absent. */
struct hf_status hf_remove_tree(struct hf_arena *arena, const char *path) HF_MUST_USE;
/* "a/b": one slash between. */
char *hf_path_join(struct hf_arena *arena, const char *a, const char *b);
/* The directory of a file: "a" of "a/b", "/" of "/b", "." of "b". */
const char *hf_path_parent(struct hf_arena *arena, const char *path);

#endif
