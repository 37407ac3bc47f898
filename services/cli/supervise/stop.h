/* Ending what runs of an installation. */
#ifndef HF_CLI_SUPERVISE_STOP_H
#define HF_CLI_SUPERVISE_STOP_H

#include "cli/cli.h"
#include "cli/supervise/account.h"

/* Held: nothing of the installation is set up or started. -1: not taken. */
struct stopped {
    int setup_lock;
    int supervisor_lock;
};

/* The supervisor that holds the lock, then what a killed one left: as whom this process is.
 *
 * stopped  the locks, also those of a failure; nothing runs as long as the caller keeps them
 * Errors   FAILED_PRECONDITION, reason STILL_RUNS: who holds the lock cannot be seen or stopped
 *          from here, and nothing was changed; ALREADY_EXISTS: somebody sets it up, or stops it
 */
struct hf_status stop_own(struct cli *cli, struct stopped *stopped) HF_MUST_USE;
void stopped_done(struct stopped *stopped);
static inline void stopped_done_cleanup(struct stopped *stopped)
{
    stopped_done(stopped);
}
/* The same by root, for an installation of an earlier release whose supervisor may be root's: the
 * lock is read by descriptors below dir, the supervisor must be a `holdfast` of root's or a process
 * of the owner's, the servers are ended by a child that is the owner. */
struct hf_status stop_all(struct cli *cli, int dir, const struct account *owner) HF_MUST_USE;

#endif
