/* Page tokens are sealed secrets whose place is the list they belong to: what binds a password to
 * its row binds a token to its list. */
#include "svc/page.h"

#include <string.h>

#include "base/str.h"

#define TOKEN_MAX 1024

/* Lengths keep the end of the parent from passing for the beginning of a filter. */
static const char *place_of(struct hf_arena *arena, const struct svc_page_request *want)
{
    return hf_printf(arena, "page/%s/%zu/%s/%s", want->method, strlen(want->parent), want->parent,
                     want->filter == NULL ? "" : want->filter);
}

static struct hf_status check_size(struct hf_arena *arena, int32_t page_size)
{
    const char *const metadata[] = {"page_size", hf_printf(arena, "%d", page_size), NULL};

    if (page_size < 0) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_PAGE_SIZE", metadata,
                            "page_size must be 0 (for %d) or more, not %d", SVC_PAGE_DEFAULT,
                            page_size);
    }
    return hf_success();
}

static struct hf_status refuse(struct hf_arena *arena)
{
    return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", NULL,
                        "page_token must come from an earlier reply to the same list, with the "
                        "same parent and filter");
}

static struct hf_status open_token(struct hf_ctx *ctx, const struct secret_key *key,
                                   const struct svc_page_request *want, const char **ret_after)
{
    size_t digits = strlen(want->page_token);
    struct hf_bytes plain = {0};

    if (digits > TOKEN_MAX || digits % 2 != 0) {
        return refuse(ctx->arena);
    }
    uint8_t *sealed = hf_alloc(ctx->arena, digits / 2);

    if (!hf_unhex(want->page_token, sealed, digits / 2) ||
        !hf_is_ok(secret_open(ctx, key, place_of(ctx->arena, want),
                              (struct hf_bytes){sealed, digits / 2}, &plain))) {
        return refuse(ctx->arena);
    }
    *ret_after = hf_strndup(ctx->arena, (const char *)plain.ptr, plain.len);
    return hf_success();
}

struct hf_status svc_page_open(struct hf_ctx *ctx, const struct secret_key *key,
                               const struct svc_page_request *want, struct svc_page *ret_page)
{
    struct svc_page page = {.limit = SVC_PAGE_DEFAULT, .after = ""};

    HF_TRY(check_size(ctx->arena, want->page_size));
    if (want->page_size > 0) {
        page.limit = want->page_size > SVC_PAGE_MAX ? SVC_PAGE_MAX : (size_t)want->page_size;
    }
    if (!hf_text_empty(want->page_token)) {
        HF_TRY(open_token(ctx, key, want, &page.after));
    }
    *ret_page = page;
    return hf_success();
}

bool svc_page_take(struct svc_page *page, size_t item_bytes)
{
    if (page->bytes > 0 && item_bytes > SVC_PAGE_BYTES - page->bytes) {
        return false;
    }
    page->bytes += item_bytes < SVC_PAGE_BYTES ? item_bytes : SVC_PAGE_BYTES;
    return true;
}

struct hf_status svc_page_next(struct hf_ctx *ctx, const struct secret_key *key,
                               const struct svc_page_request *want, const char *last,
                               char **ret_token)
{
    struct hf_str text = hf_str_of(last);
    struct hf_bytes sealed = {0};

    HF_TRY(secret_seal(ctx, key, place_of(ctx->arena, want),
                       (struct hf_bytes){(const uint8_t *)text.ptr, text.len}, &sealed));
    *ret_token = hf_hex(ctx->arena, sealed.ptr, sealed.len);
    return hf_success();
}
