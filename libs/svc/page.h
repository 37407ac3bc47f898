/* Pages of lists (AIP-158): one form of token for every List method of every service.
 *
 * A token is the place where the next page begins, sealed under the service's secrets key and bound
 * to the list that it continues: nobody can make one up, read one, or take it to another list. */
#ifndef HF_SVC_PAGE_H
#define HF_SVC_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "base/ctx.h"

#define SVC_PAGE_DEFAULT 50
#define SVC_PAGE_MAX 1000

struct svc_page_request {
    const char *method; /* "ListBackups" */
    const char *parent; /* names the tenant */
    const char *filter; /* as it came; NULL where the method has none */
    int32_t page_size;
    const char *page_token;
};

struct svc_page {
    size_t limit;      /* 1 … SVC_PAGE_MAX: a larger page_size is coerced */
    const char *after; /* what svc_page_next was given, in ctx->arena; "" for the first page */
    size_t bytes;      /* taken so far */
};

/* May a message of that many packed bytes stand on the page as well? A page ends where its reply
 * would come near the 4 MiB that clients take; the first item is always taken. */
#define SVC_PAGE_BYTES ((size_t)3 << 20)
bool svc_page_take(struct svc_page *page, size_t item_bytes);

/* Errors   INVALID_ARGUMENT: reason INVALID_PAGE_SIZE (negative), INVALID_PAGE_TOKEN (not from an
 *          earlier reply to the same method with the same parent and filter) */
struct hf_status svc_page_open(struct hf_ctx *ctx, const struct secret_key *key,
                               const struct svc_page_request *want,
                               struct svc_page *ret_page) HF_MUST_USE;

/* Token of the page behind last, which is not empty. */
struct hf_status svc_page_next(struct hf_ctx *ctx, const struct secret_key *key,
                               const struct svc_page_request *want, const char *last,
                               char **ret_token) HF_MUST_USE;

#endif
