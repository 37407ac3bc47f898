/* Names to addresses without blocking the caller.
 *
 * Surprise: getaddrinfo cannot be cancelled. So a question is asked on a thread of the pool, and
 * who no longer waits leaves it there: it has holders and goes with the last. It is asked once for
 * all of its owner's callers, in the order in which questions came, also when nobody waits for it
 * any more: who comes again finds it further on.
 *
 * A name whose server is silent costs a thread for many seconds. So what a name did last is
 * remembered: those that answered go first and have threads that the others never take, those that
 * were silent have one thread of their owner's. Whoever names hosts whose servers are silent holds
 * up neither others nor his own good ones.
 */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"
#include "egress/internal.h"

#define TURN_MS 5000
#define SILENT_US HF_US_PER_S
#define OPEN_MAX 256      /* questions that are not answered */
#define OWNER_OPEN_MAX 64 /* of one owner */
#define NAMES_MAX 1024    /* that are remembered */
#define HOST_MAX 255

/* Threads that may be taken: */
#define THREADS 24      /* by all */
#define UNPROVEN_MAX 18 /* by names that did not answer last time or were never asked */
#define OWNER_MAX 4     /* by one owner */
#define OWNER_UNPROVEN 3
#define OWNER_SILENT 1

enum speed { PROVEN, NEW, SILENT, SPEEDS }; /* in the order of their turns */

struct question {
    struct question *next;
    int holders;
    bool is_running;
    bool is_done;
    bool is_known;
    struct egress_address addresses[EGRESS_ADDRESSES_MAX + 1];
    size_t len;
    enum speed speed;
    char host[HOST_MAX + 1];
    char *owner; /* "": nobody's, without limits of its own */
};

struct name {
    char *owner;
    char *host;
    bool is_silent;
};

struct resolver {
    struct hf_lock lock;          /* guards these and all questions but host and owner */
    struct question *open;        /* not answered, the oldest first */
    struct name names[NAMES_MAX]; /* a ring */
    size_t names_next;

    struct hf_pool *pool;
    egress_lookup_fn lookup;
    void *arg;
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

/* --- what names did; under the lock ---------------------------------------------------------- */

static struct name *name_find(struct resolver *resolver, const char *owner, const char *host)
{
    for (size_t i = 0; i < NAMES_MAX && resolver->names[i].host != NULL; i++) {
        if (strcmp(resolver->names[i].host, host) == 0 &&
            strcmp(resolver->names[i].owner, owner) == 0) {
            return &resolver->names[i];
        }
    }
    return NULL;
}

static enum speed speed_of(struct resolver *resolver, const char *owner, const char *host)
{
    const struct name *name = name_find(resolver, owner, host);

    return name == NULL ? NEW : name->is_silent ? SILENT : PROVEN;
}

static void remember(struct resolver *resolver, const struct question *question, bool is_silent)
{
    struct name *name = name_find(resolver, question->owner, question->host);

    if (name == NULL) {
        name = &resolver->names[resolver->names_next++ % NAMES_MAX];
        hf_heap_free(name->owner);
        hf_heap_free(name->host);
        *name = (struct name){hf_heap_strdup(question->owner), hf_heap_strdup(question->host),
                              is_silent};
    }
    name->is_silent = is_silent;
}

/* --- turns; under the lock ------------------------------------------------------------------- */

static void question_leave(struct question *question)
{
    if (--question->holders == 0) {
        hf_heap_free(question->owner);
        hf_heap_free(question);
    }
}

/* Running questions of an owner (NULL: of all) that are no better than speed. */
static size_t running(const struct resolver *resolver, const char *owner, enum speed speed)
{
    size_t len = 0;

    for (const struct question *one = resolver->open; one != NULL; one = one->next) {
        bool is_counted = one->is_running && one->speed >= speed;

        len += is_counted && (owner == NULL || strcmp(one->owner, owner) == 0) ? 1 : 0;
    }
    return len;
}

static bool may_run(const struct resolver *resolver, const struct question *question)
{
    static const size_t of_all[SPEEDS] = {THREADS, UNPROVEN_MAX, UNPROVEN_MAX};
    static const size_t of_owner[SPEEDS] = {OWNER_MAX, OWNER_UNPROVEN, OWNER_SILENT};
    bool is_free = true;

    for (enum speed speed = PROVEN; speed < SPEEDS && speed <= question->speed; speed++) {
        is_free = is_free && running(resolver, NULL, speed) < of_all[speed] &&
                  (question->owner[0] == '\0' ||
                   running(resolver, question->owner, speed) < of_owner[speed]);
    }
    return is_free;
}

static struct question *next_of(const struct resolver *resolver, enum speed speed)
{
    for (struct question *one = resolver->open; one != NULL; one = one->next) {
        if (!one->is_running && one->speed == speed && may_run(resolver, one)) {
            return one;
        }
    }
    return NULL;
}

static void give_turns(struct resolver *resolver)
{
    for (enum speed speed = PROVEN; speed < SPEEDS; speed++) {
        struct question *next;

        while ((next = next_of(resolver, speed)) != NULL) {
            next->is_running = true;
            if (!hf_pool_push(resolver->pool, next, 0)) { /* it is closed: see resolver_free */
                next->is_running = false;
                return;
            }
        }
    }
}

static void unlink_question(struct resolver *resolver, const struct question *question)
{
    struct question **link = &resolver->open;

    while (*link != question) {
        HF_CHECK(*link != NULL);
        link = &(*link)->next;
    }
    *link = question->next;
}

/* --- questions ------------------------------------------------------------------------------ */

static void answer(void *item, void *arg)
{
    struct question *question = item;
    struct resolver *resolver = arg;
    struct egress_address addresses[EGRESS_ADDRESSES_MAX + 1];
    size_t len = 0;
    int64_t start_us = hf_mono_us();
    bool is_known = resolver->lookup(resolver->arg, question->host, addresses, &len);

    hf_lock_take(&resolver->lock);
    question->is_done = true;
    question->is_known = is_known && len > 0;
    question->len = question->is_known ? len : 0;
    memcpy(question->addresses, addresses, question->len * sizeof(addresses[0]));
    remember(resolver, question, hf_mono_us() - start_us >= SILENT_US);
    unlink_question(resolver, question);
    question_leave(question);
    give_turns(resolver);
    hf_lock_wake(&resolver->lock);
    hf_lock_release(&resolver->lock);
}

struct resolver *resolver_new(egress_lookup_fn lookup, void *arg)
{
    struct resolver *resolver = hf_heap_alloc(sizeof(*resolver));

    resolver->lookup = lookup != NULL ? lookup : ask_system;
    resolver->arg = arg;
    hf_lock_init(&resolver->lock);
    resolver->pool = hf_pool_new("resolver", THREADS, THREADS, answer, resolver);
    return resolver;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    hf_pool_free(resolver->pool);
    while (resolver->open != NULL) { /* whose turn did not come */
        struct question *question = resolver->open;

        resolver->open = question->next;
        question_leave(question);
    }
    for (size_t i = 0; i < NAMES_MAX; i++) {
        hf_heap_free(resolver->names[i].owner);
        hf_heap_free(resolver->names[i].host);
    }
    hf_lock_done(&resolver->lock);
    hf_heap_free(resolver);
}

/* What may stand in a name or an address; whatever else is no host of anybody's. */
static bool is_host(const char *host)
{
    size_t len = strlen(host);

    return len > 0 && len <= HOST_MAX &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") ==
               len;
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

/* The question that is asked already, or a new one at the end; NULL: there are too many. */
static struct question *question_join(struct resolver *resolver, const struct egress_want *want)
{
    const char *owner = want->owner != NULL ? want->owner : "";
    struct question **link = &resolver->open;
    size_t len = 0;
    size_t mine = 0;

    for (; *link != NULL; link = &(*link)->next, len++) {
        bool is_mine = strcmp((*link)->owner, owner) == 0;

        if (is_mine && strcmp((*link)->host, want->host) == 0) {
            (*link)->holders++;
            return *link;
        }
        mine += is_mine ? 1 : 0;
    }
    if (len >= OPEN_MAX || (mine >= OWNER_OPEN_MAX && owner[0] != '\0')) {
        return NULL;
    }
    *link = hf_heap_alloc(sizeof(**link));
    (*link)->holders = 2; /* the list's and ours */
    (*link)->owner = hf_heap_strdup(owner);
    (*link)->speed = speed_of(resolver, owner, want->host);
    memcpy((*link)->host, want->host, strlen(want->host) + 1);
    return *link;
}

/* Until it is answered, or for TURN_MS while its turn has not come. */
static struct hf_status question_wait(struct hf_ctx *ctx, struct resolver *resolver,
                                      const struct question *question)
{
    int64_t until_us = hf_mono_us() + (int64_t)TURN_MS * 1000;
    struct hf_status status = hf_ctx_check(ctx);

    while (hf_is_ok(status) && !question->is_done &&
           (question->is_running || hf_mono_us() < until_us)) {
        (void)hf_lock_wait(&resolver->lock, hf_ctx_poll_ms(ctx, 200));
        status = hf_ctx_check(ctx);
    }
    return question->is_done ? hf_success() : status;
}

static struct hf_status busy(struct hf_ctx *ctx, const char *host)
{
    const char *const metadata[] = {"host", host, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "RESOLVER_BUSY", metadata,
                        "the resolver is busy with other names; %s is tried again later", host);
}

static struct hf_status ask_pool(struct hf_ctx *ctx, struct resolver *resolver,
                                 const struct egress_want *want,
                                 struct egress_addresses *ret_addresses)
{
    struct hf_status status = hf_success();

    hf_lock_take(&resolver->lock);
    struct question *question = question_join(resolver, want);

    if (question != NULL) {
        give_turns(resolver);
        status = question_wait(ctx, resolver, question);
    }
    if (hf_is_ok(status)) {
        status = question != NULL && question->is_done
                     ? take_answer(ctx, question, want->port, ret_addresses)
                     : busy(ctx, want->host);
    }
    if (question != NULL) {
        question_leave(question);
    }
    hf_lock_release(&resolver->lock);
    return status;
}

struct hf_status resolver_ask(struct hf_ctx *ctx, struct resolver *resolver,
                              const struct egress_want *want,
                              struct egress_addresses *ret_addresses)
{
    struct question literal = {.is_known = true};

    if (!is_host(want->host)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "HOST_INVALID", NULL,
                            "the host is no name and no address of at most %d letters, digits, "
                            "dots, hyphens, underscores and colons",
                            HOST_MAX);
    }
    if (collect(want->host, AI_NUMERICHOST, literal.addresses, &literal.len)) {
        memcpy(literal.host, want->host, strlen(want->host) + 1);
        return take_answer(ctx, &literal, want->port, ret_addresses);
    }
    return ask_pool(ctx, resolver, want, ret_addresses);
}
