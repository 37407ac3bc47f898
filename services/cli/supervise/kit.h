/* The recovery kit of an installation: made once, and taken in the place of a lost keys/vault.key.
 */
#ifndef HF_CLI_SUPERVISE_KIT_H
#define HF_CLI_SUPERVISE_KIT_H

#include "cli/supervise/place.h"

#define KIT_FILE "recovery-kit.txt"

/* keys/escrow.pub and the kit that belongs to it, when there is none yet. */
struct hf_status kit_make(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

/* keys/vault.key holds a recovery kit: put a new key in its place, under which the vault's tenants
 * are opened from now on; escrow.pub is the kit's unless there is one. Nothing when it holds a key,
 * or is not there. Says on standard error what it did.
 *
 * Errors   FAILED_PRECONDITION KIT_REFUSED: it opens nothing of this vault, or there is none;
 *          STILL_RUNS: a service has keys of its own in memory, and would not know the new one
 * Repeat   safe after a crash: the kit is replaced last. Under the lock of set-up.
 */
struct hf_status kit_take(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

#endif
