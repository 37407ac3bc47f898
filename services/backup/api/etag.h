/* The etag of a row is its revision: whoever gives one changes what he has seen, or nothing. */
#ifndef HF_BACKUP_API_ETAG_H
#define HF_BACKUP_API_ETAG_H

#include <stdint.h>

#include "base/ctx.h"

char *etag_of(struct hf_arena *arena, int64_t revision);
/* given  NULL or "": whatever is there
 * what   "cluster orders", for the message
 * Errors   ABORTED ETAG_MISMATCH */
struct hf_status etag_check(struct hf_ctx *ctx, const char *given, int64_t revision,
                            const char *what) HF_MUST_USE;

#endif
