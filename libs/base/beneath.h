/* Directories that are held open instead of being named again, and names below them.
 *
 * A path is followed once, by hf_place_find; after that everything is said relative to the
 * descriptor, and whatever another user makes of the names meanwhile stays without effect outside.
 */
#ifndef HF_BASE_BENEATH_H
#define HF_BASE_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/status.h"

/* openat(), but path is relative, stays below dir and in its file system, and no part of it is
 * followed as a link, the last included. O_CLOEXEC is added. -1 with errno; ELOOP or ENOTDIR for a
 * link, EXDEV for what leads out. */
int hf_beneath_open(int dir, const char *path, int flags, mode_t mode);
/* The directory that the last part of path lies in (O_PATH), for the calls that know no such rule
 * (mkdirat, renameat, unlinkat, symlinkat) and take the last part alone. -1 with errno. */
int hf_beneath_parent(int dir, const char *path, const char **ret_name);

/* An absolute path, followed as far as it exists. */
struct hf_place {
    int fd;           /* of the deepest existing directory, O_PATH; the caller closes it */
    const char *rest; /* what does not exist of the path: "" or parts joined by single slashes */
    dev_t dev;        /* fd's */
    ino_t ino;
};
/* A link is followed only when it and the directory it is in belong to root or to the caller: else
 * its owner would choose where the path leads.
 * Errors   INVALID_ARGUMENT not absolute, "." or ".." where nothing is; FAILED_PRECONDITION reason
 *          UNSAFE_PATH a link or ".." that somebody else could turn; those of opening */
struct hf_status hf_place_find(struct hf_arena *arena, const char *path,
                               struct hf_place *ret_place) HF_MUST_USE;
/* Does a lie in b, or are they the same? By what is on the disk, not by the texts.
 * Errors   those of opening the directories above a */
struct hf_status hf_place_is_within(struct hf_arena *arena, const struct hf_place *a,
                                    const struct hf_place *b, bool *ret_is_within) HF_MUST_USE;

#endif
