/* Decimal. */
#include "backup/api/etag.h"

#include "base/str.h"

char *etag_of(struct hf_arena *arena, int64_t revision)
{
    return hf_printf(arena, "%lld", (long long)revision);
}

struct hf_status etag_check(struct hf_ctx *ctx, const char *given, int64_t revision,
                            const char *what)
{
    if (hf_text_empty(given) || hf_text_equal(given, etag_of(ctx->arena, revision))) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_ABORTED, "ETAG_MISMATCH", NULL,
                        "%s has changed since it was read", what);
}
