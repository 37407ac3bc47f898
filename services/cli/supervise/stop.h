/* Ending what runs of an installation. */
#ifndef HF_CLI_SUPERVISE_STOP_H
#define HF_CLI_SUPERVISE_STOP_H

#include "cli/cli.h"
#include "cli/supervise/account.h"

/* The supervisor that holds the lock, then what a killed one left: as whom this process is. */
struct hf_status stop_own(struct cli *cli) HF_MUST_USE;
/* The same by root, for an installation of an earlier release whose supervisor may be root's: the
 * lock is read by descriptors below dir, the supervisor must be a `holdfast` of root's or a process
 * of the owner's, the servers are ended by a child that is the owner. */
struct hf_status stop_all(struct cli *cli, int dir, const struct account *owner) HF_MUST_USE;

#endif
