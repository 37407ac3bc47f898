/* Workers of a session: everything that costs processor time and needs no order. */
#include <string.h>

#include "base/check.h"
#include "vault/session_impl.h"

#define ARENA_MAX (16u << 20)

void vault_session_unit_free(struct vault_session *session, struct unit *unit)
{
    unit->file = NULL;
    unit->filled = 0;
    bool is_pushed = hf_queue_push(session->free_units, unit, 0);
    HF_CHECK(is_pushed); /* the queue holds all units */
}

static void digest_pages(const struct vault_keyring *keyring, struct unit *unit)
{
    unit->changed = 0;
    for (uint32_t i = 0; i < unit->pages; i++) {
        uint8_t *after = unit->after + (size_t)i * VAULT_DIGEST_LEN;
        vault_page_digest(keyring, unit->data + (size_t)i * VAULT_PAGE, VAULT_PAGE, after);
        if (i >= unit->before_len ||
            memcmp(after, unit->before + (size_t)i * VAULT_DIGEST_LEN, VAULT_DIGEST_LEN) != 0) {
            unit->changed |= UINT64_C(1) << i;
        }
    }
}

/* A unit that is new from end to end becomes a blob of its own, without a copy. */
static struct hf_status work_unit(struct hf_ctx *ctx, struct worker *worker, struct unit *unit)
{
    struct vault_session *session = worker->session;
    struct session_place place;

    HF_TRY(hf_ctx_check(ctx));
    digest_pages(session->place.keyring, unit);
    atomic_fetch_add(&session->progress->changed_bytes,
                     (uint64_t)__builtin_popcountll(unit->changed) * VAULT_PAGE);
    unit->is_placed = unit->pages == UNIT_PAGES && unit->changed == UINT64_MAX;
    if (unit->is_placed) {
        HF_TRY(vault_session_store(ctx, session, worker->codec,
                                   (struct hf_bytes){unit->data, UNIT_BYTES}, unit->after, &place));
        unit->pack = place.pack;
        unit->ordinal = place.ordinal;
    }
    return hf_success();
}

static void worker_main(void *arg)
{
    struct worker *worker = arg;
    struct vault_session *session = worker->session;
    struct hf_ctx ctx = session->base;
    void *item = NULL;

    ctx.arena = worker->arena;
    while (hf_queue_pop(session->work, -1, &item) == HF_POP_ITEM) {
        struct unit *unit = item;
        hf_arena_reset(worker->arena);
        if (!vault_fault_is_set(&session->fault)) {
            vault_fault_set(&session->fault, work_unit(&ctx, worker, unit));
        }
        if (vault_fault_is_set(&session->fault)) {
            vault_session_unit_free(session, unit);
        } else {
            vault_session_order_unit(&ctx, session, worker->codec, unit);
        }
    }
}

struct hf_status vault_session_workers_start(struct hf_ctx *ctx, struct vault_session *session,
                                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct worker *worker = &session->workers[i];
        worker->session = session;
        worker->codec = vault_codec_new((int)session->level);
        worker->arena = hf_arena_new(ARENA_MAX);
        worker->thread = hf_thread_try("vault-work", worker_main, worker);
        session->workers_len++;
        if (worker->thread == NULL) { /* fewer do the same, slower; none does nothing */
            return i == 0 ? hf_thread_refused(ctx->arena) : hf_success();
        }
    }
    return hf_success();
}

void vault_session_workers_end(struct vault_session *session)
{
    if (session->work != NULL) {
        hf_queue_close(session->work);
    }
    for (size_t i = 0; i < session->workers_len; i++) {
        struct worker *worker = &session->workers[i];
        hf_thread_join(HF_TAKE(worker->thread));
        vault_codec_free(HF_TAKE(worker->codec));
        hf_arena_free(HF_TAKE(worker->arena));
    }
    session->workers_len = 0;
}
