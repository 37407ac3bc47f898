/* An installation given to another user, through descriptors. */
#ifndef HF_CLI_SUPERVISE_MOVE_H
#define HF_CLI_SUPERVISE_MOVE_H

#include "cli/supervise/account.h"

/* What of root's is given away. */
enum move_roots {
    MOVE_ROOTS_NONE,
    MOVE_ROOTS_KNOWN, /* what the earlier release left as root's, and directories closed by a move
                       */
    MOVE_ROOTS_ALL,   /* what lies in directories that were root's from the first one down */
};

struct move {
    int dir;          /* the installation's directory, readable */
    const char *path; /* of it, for messages */
    struct account to;
    enum move_roots root;
    uid_t former;          /* whose it was; 0: root's, or not known yet */
    bool is_former_sought; /* root has closed the directory; the tree says whose it was */
};

/* Look at the whole tree and change nothing; move->former is found when it is sought: the one owner
 * beside root and move->to, who must be none that servers could run as.
 *
 * Errors   FAILED_PRECONDITION, reason NOT_TO_BE_MOVED: links, FIFOs, devices, sockets outside of
 *          run/, files with several names, of others or on another file system; the message lists
 *          them
 */
struct hf_status move_judge(struct hf_ctx *ctx, struct move *move) HF_MUST_USE;

/* Judge, then give everything below the directory, then the directory, to move->to.
 *
 * Errors   those of move_judge; nothing was changed if it is the first run
 * Repeat   safe, and the way to go on after a crash: the directory belongs to root meanwhile
 */
struct hf_status move_run(struct hf_ctx *ctx, struct move *move) HF_MUST_USE;

#endif
