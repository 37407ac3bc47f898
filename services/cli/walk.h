/* Directories that a person names: found once, held, and made below what is held. */
#ifndef HF_CLI_WALK_H
#define HF_CLI_WALK_H

#include <sys/types.h>

#include "base/ctx.h"

struct walk {
    int fd;           /* O_PATH: the deepest directory that is there; close it */
    const char *path; /* absolute, without links, dots and double slashes; the missing included */
    const char *missing; /* components that are not there, "" when all is: "a/b" */
};

/* path  absolute
 * Errors   those of hf_place_find (FAILED_PRECONDITION, reason UNSAFE_PATH: a link that somebody
 * else could turn); for root FAILED_PRECONDITION, reason OPEN_DIRECTORY: everybody may rename what
 * is in a directory above it
 */
struct hf_status walk_open(struct hf_ctx *ctx, const char *path, struct walk *ret_walk) HF_MUST_USE;
void walk_done(struct walk *walk);
static inline void walk_done_cleanup(struct walk *walk)
{
    walk_done(walk);
}

/* Could nobody but root have put the directory where it is, or anything into it?
 * FAILED_PRECONDITION, reason FOREIGN_DIRECTORY: no. */
struct hf_status walk_check_roots(struct hf_ctx *ctx, const struct walk *walk) HF_MUST_USE;

/* Make what is missing: parents 0755 (0700 for others than root), the last one 0700. Each is held
 * from its making; the last, readable, is given back. All was there: that one is opened.
 *
 * is_made  whether the last was made now
 * Errors   FAILED_PRECONDITION: it would be made in another user's directory, neither root's nor
 *          owner's nor our own (reason FOREIGN_DIRECTORY; for root any above counts, and one of
 *          root's that is there must be root's all the way), or somebody made it meanwhile
 */
struct hf_status walk_make(struct hf_ctx *ctx, const struct walk *walk, uid_t owner, int *ret_fd,
                           bool *ret_is_made) HF_MUST_USE;

#endif
