/* Who is an admin of this installation. */
#ifndef HF_CLI_SUPERVISE_OPERATORS_H
#define HF_CLI_SUPERVISE_OPERATORS_H

#include <stdbool.h>

#include "base/ctx.h"
#include "cli/supervise/place.h"

/* Make client/NAME one, or no longer, in the private database. Repeatable. */
struct hf_status operators_set(struct hf_ctx *ctx, const struct place *place, const char *name,
                               bool is_operator) HF_MUST_USE;
/* client/cli has all rights, whatever it had: what runs on the machine itself works there. Its
 * schema must be there. Repeatable. */
struct hf_status operators_keep_local(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

#endif
