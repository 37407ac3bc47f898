/* Names to addresses without blocking the caller.
 *
 * Surprise: getaddrinfo cannot be cancelled. So a question is asked on a thread of the pool, and
 * who no longer waits leaves it there: the question has two holders and goes with the last. The
 * pool is small and its queue bounded: a resolver that answers nobody costs threads, never memory.
 * Of one owner a few questions are in the pool at a time, and the rest waits on its callers'
 * threads: whoever names hosts whose servers are silent holds up himself.
 */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"
#include "egress/internal.h"

#define THREADS 8
#define OWNER_MAX 2 /* questions of one owner in the pool */
#define TURN_MS 5000
#define QUEUE 64
#define PUSH_MS 200
#define HOST_MAX 255

struct resolver {
    struct hf_lock asked_lock;
    struct question *asked; /* those of owners that are in the pool */

    struct hf_pool *pool;
    egress_lookup_fn lookup;
    void *arg;
};

struct question {
    struct hf_lock lock; /* guards the rest, host aside */
    int holders;
    bool is_done;
    bool is_known;
    struct egress_address addresses[EGRESS_ADDRESSES_MAX + 1];
    size_t len;
    char host[HOST_MAX + 1];
    char *owner;           /* NULL: nobody's */
    struct question *next; /* of resolver->asked, under its lock */
};

static bool collect(const char *host, int flags,
                    struct egress_address ret_addresses[EGRESS_ADDRESSES_MAX + 1], size_t *ret_len)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *list = NULL;
    size_t len = 0;

    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return false;
    }
    for (const struct addrinfo *one = list; one != NULL && len <= EGRESS_ADDRESSES_MAX;
         one = one->ai_next) {
        len += egress_address_of(one->ai_addr, &ret_addresses[len]) ? 1 : 0;
    }
    freeaddrinfo(list);
    *ret_len = len;
    return len > 0;
}

static bool ask_system(void *arg, const char *host,
                       struct egress_address ret_addresses[EGRESS_ADDRESSES_MAX + 1],
                       size_t *ret_len)
{
    (void)arg;
    return collect(host, 0, ret_addresses, ret_len);
}

static void question_leave(struct question *question)
{
    hf_lock_take(&question->lock);
    int left = --question->holders;

    hf_lock_release(&question->lock);
    if (left == 0) {
        hf_lock_done(&question->lock);
        hf_heap_free(question->owner);
        hf_heap_free(question);
    }
}

/* --- turns ---------------------------------------------------------------------------------- */

static size_t count_asked(const struct resolver *resolver, const char *owner)
{
    size_t len = 0;

    for (const struct question *one = resolver->asked; one != NULL; one = one->next) {
        len += strcmp(one->owner, owner) == 0 ? 1 : 0;
    }
    return len;
}

/* False: others of its owner are before it, and it was not its turn in time. */
static struct hf_status take_turn(struct hf_ctx *ctx, struct resolver *resolver,
                                  struct question *question, bool *ret_is_taken)
{
    int64_t until_us = hf_mono_us() + (int64_t)TURN_MS * 1000;
    struct hf_status status = hf_success();

    *ret_is_taken = question->owner == NULL;
    if (question->owner == NULL) {
        return status;
    }
    hf_lock_take(&resolver->asked_lock);
    while (count_asked(resolver, question->owner) >= OWNER_MAX && hf_is_ok(status) &&
           hf_mono_us() < until_us) {
        (void)hf_lock_wait(&resolver->asked_lock, hf_ctx_poll_ms(ctx, 200));
        status = hf_ctx_check(ctx);
    }
    if (hf_is_ok(status) && count_asked(resolver, question->owner) < OWNER_MAX) {
        question->next = resolver->asked;
        resolver->asked = question;
        *ret_is_taken = true;
    }
    hf_lock_release(&resolver->asked_lock);
    return status;
}

static void give_turn(struct resolver *resolver, const struct question *question)
{
    struct question **link = &resolver->asked;

    if (question->owner == NULL) {
        return;
    }
    hf_lock_take(&resolver->asked_lock);
    while (*link != NULL && *link != question) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = question->next;
    }
    hf_lock_wake(&resolver->asked_lock);
    hf_lock_release(&resolver->asked_lock);
}

/* --- questions ------------------------------------------------------------------------------ */

static void answer(void *item, void *arg)
{
    struct question *question = item;
    struct resolver *resolver = arg;
    struct egress_address addresses[EGRESS_ADDRESSES_MAX + 1];
    size_t len = 0;
    bool is_known = resolver->lookup(resolver->arg, question->host, addresses, &len);

    hf_lock_take(&question->lock);
    question->is_done = true;
    question->is_known = is_known && len > 0;
    question->len = question->is_known ? len : 0;
    memcpy(question->addresses, addresses, question->len * sizeof(addresses[0]));
    hf_lock_wake(&question->lock);
    hf_lock_release(&question->lock);
    give_turn(resolver, question);
    question_leave(question);
}

struct resolver *resolver_new(egress_lookup_fn lookup, void *arg)
{
    struct resolver *resolver = hf_heap_alloc(sizeof(*resolver));

    resolver->lookup = lookup != NULL ? lookup : ask_system;
    resolver->arg = arg;
    hf_lock_init(&resolver->asked_lock);
    resolver->pool = hf_pool_new("resolver", THREADS, QUEUE, answer, resolver);
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver != NULL) {
        hf_pool_free(resolver->pool);
        hf_lock_done(&resolver->asked_lock);
        hf_heap_free(resolver);
    }
}

/* What may stand in a name or an address; whatever else is no host of anybody's. */
static bool is_host(const char *host)
{
    size_t len = strlen(host);

    return len > 0 && len <= HOST_MAX &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") ==
               len;
}

static struct hf_status wait_answer(struct hf_ctx *ctx, struct question *question)
{
    struct hf_status status = hf_success();

    hf_lock_take(&question->lock);
    while (!question->is_done && hf_is_ok(status)) {
        status = hf_ctx_check(ctx);
        if (hf_is_ok(status)) {
            (void)hf_lock_wait(&question->lock, hf_ctx_poll_ms(ctx, 200));
        }
    }
    hf_lock_release(&question->lock);
    return status;
}

static struct hf_status not_found(struct hf_ctx *ctx, const char *host)
{
    const char *const metadata[] = {"host", host, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "HOST_UNREACHABLE", metadata,
                        "the resolver knows no address of %s", host);
}

static struct hf_status take_answer(struct hf_ctx *ctx, const struct question *question,
                                    uint16_t port, struct egress_addresses *ret_addresses)
{
    const char *const metadata[] = {"host", question->host, NULL};
    struct egress_address *list = HF_NEW_N(ctx->arena, struct egress_address, question->len + 1);

    if (!question->is_known) {
        return not_found(ctx, hf_strdup(ctx->arena, question->host));
    }
    if (question->len > EGRESS_ADDRESSES_MAX) {
        return hf_fail_info(ctx->arena, HF_PERMISSION_DENIED, "TOO_MANY_ADDRESSES", metadata,
                            "%s has more than %d addresses", question->host, EGRESS_ADDRESSES_MAX);
    }
    for (size_t i = 0; i < question->len; i++) {
        list[i] = question->addresses[i];
        list[i].port = port;
    }
    *ret_addresses = (struct egress_addresses){list, question->len};
    return hf_success();
}

static struct hf_status ask_pool(struct hf_ctx *ctx, struct resolver *resolver,
                                 struct question *question)
{
    const char *const metadata[] = {"host", question->host, NULL};
    bool is_taken = false;

    HF_TRY(take_turn(ctx, resolver, question, &is_taken));
    question->holders++;
    if (is_taken && hf_pool_push(resolver->pool, question, hf_ctx_poll_ms(ctx, PUSH_MS))) {
        return wait_answer(ctx, question);
    }
    question->holders--;
    if (is_taken) {
        give_turn(resolver, question);
    }
    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "RESOLVER_BUSY", metadata,
                        "the resolver is busy with other names; %s is tried again later",
                        hf_strdup(ctx->arena, question->host));
}

struct hf_status resolver_ask(struct hf_ctx *ctx, struct resolver *resolver,
                              const struct egress_want *want,
                              struct egress_addresses *ret_addresses)
{
    const char *host = want->host;
    struct question *question;
    struct hf_status status;

    if (!is_host(host)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "HOST_INVALID", NULL,
                            "the host is no name and no address of at most %d letters, digits, "
                            "dots, hyphens, underscores and colons",
                            HOST_MAX);
    }
    question = hf_heap_alloc(sizeof(*question));
    hf_lock_init(&question->lock);
    question->holders = 1;
    memcpy(question->host, host, strlen(host) + 1);
    question->owner = want->owner != NULL ? hf_heap_strdup(want->owner) : NULL;
    if (collect(host, AI_NUMERICHOST, question->addresses, &question->len)) {
        question->is_known = true;
        status = hf_success();
    } else {
        status = ask_pool(ctx, resolver, question);
    }
    if (hf_is_ok(status)) {
        status = take_answer(ctx, question, want->port, ret_addresses);
    }
    question_leave(question);
    return status;
}
