/* An installation given to another user, through descriptors. */
#ifndef HF_CLI_SUPERVISE_MOVE_H
#define HF_CLI_SUPERVISE_MOVE_H

#include "cli/supervise/account.h"

struct move {
    int dir;          /* the installation's directory, readable */
    const char *path; /* of it, for messages */
    uid_t former;     /* whose it was; files of root are moved, too */
    struct account to;
};

/* Whose an installation was whose directory root has closed: the first owner in it that is neither
 * root nor `to`; 0 when there is none. */
uid_t move_former(int dir, const struct account *to);

/* Give everything below the directory, then the directory, to move->to.
 *
 * Errors   FAILED_PRECONDITION, reason NOT_TO_BE_MOVED: links, FIFOs, devices, sockets outside of
 *          run/, files with several names, of other users or on another file system; the message
 *          lists them, and nothing was changed if it is the first run
 * Repeat   safe, and the way to go on after a crash: the directory belongs to root meanwhile
 */
struct hf_status move_run(struct hf_ctx *ctx, const struct move *move) HF_MUST_USE;

#endif
