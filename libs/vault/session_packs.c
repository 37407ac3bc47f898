/* The packs stage: blobs from many threads into one open pack, whole packs to one uploader.
 *
 * At most PACKS_ALIVE packs are in memory; who needs a new one waits for the uploader. A pack goes
 * to the uploader when it is full and the last of its reserved blobs is sealed. The pack that is
 * open at the end is the last one: it alone is padded, as its length would tell how much changed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "vault/session_impl.h"

#define PACKS_ALIVE 3u
#define ARENA_MAX (16u << 20)
#define LIST_STEP 1000u
#define PACK_DIGITS 12u

static void upload_if_ready(struct vault_session *session, struct open_pack *pack)
{
    if (pack->is_full && pack->unsealed == 0) {
        bool is_pushed = hf_queue_push(session->uploads, pack, 0);
        HF_CHECK(is_pushed); /* room for all that may be alive */
    }
}

/* Caller holds the lock; it is released while waiting for the uploader. */
static struct hf_status open_next(struct hf_ctx *ctx, struct vault_session *session)
{
    struct vault_pack_options options = {
        .kind = VAULT_PACK_DATA,
        .capacity_bytes = VAULT_PACK_MAX,
        .level = (int)session->level,
    };

    while (session->current == NULL && session->alive >= PACKS_ALIVE) {
        HF_TRY(vault_fault_check(ctx, &session->fault));
        (void)hf_lock_wait(&session->packs, POLL_MS);
    }
    if (session->current != NULL) {
        return hf_success();
    }
    if (session->next_pack >= VAULT_PACK_NUMBER_MAX) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "%s has no pack numbers left",
                       session->prefix);
    }
    struct vault_pack_writer *writer = NULL;
    options.number = session->next_pack; /* read now: others may have opened packs meanwhile */
    HF_TRY(vault_pack_writer_new(ctx, session->place.keyring, &options, &writer));
    session->current = hf_heap_alloc(sizeof(*session->current));
    session->current->writer = writer;
    session->current->number = session->next_pack++;
    session->alive++;
    return hf_success();
}

/* Caller holds the lock. */
static struct hf_status reserve(struct hf_ctx *ctx, struct vault_session *session,
                                const struct vault_blob_in *blob, struct open_pack **ret_pack,
                                struct vault_slot *ret_slot)
{
    for (;;) {
        HF_TRY(open_next(ctx, session));
        struct open_pack *pack = session->current;
        HF_CHECK(pack != NULL);
        if (vault_pack_reserve(pack->writer, blob, ret_slot)) {
            pack->unsealed++;
            *ret_pack = pack;
            return hf_success();
        }
        pack->is_full = true;
        session->current = NULL;
        upload_if_ready(session, pack);
    }
}

struct hf_status vault_session_place(struct hf_ctx *ctx, struct vault_session *session,
                                     const struct vault_blob_in *blob,
                                     struct session_place *ret_place)
{
    struct open_pack *pack = NULL;
    struct vault_slot slot = {0, 0, 0};

    hf_lock_take(&session->packs);
    struct hf_status status = reserve(ctx, session, blob, &pack, &slot);
    hf_lock_release(&session->packs);
    HF_TRY(status);
    HF_CHECK(pack != NULL);
    uint64_t number = pack->number;
    vault_pack_seal(pack->writer, blob, slot);
    hf_lock_take(&session->packs);
    pack->unsealed--;
    upload_if_ready(session, pack);
    hf_lock_release(&session->packs);
    *ret_place = (struct session_place){number, slot.first_page};
    return hf_success();
}

struct hf_status vault_session_store(struct hf_ctx *ctx, struct vault_session *session,
                                     struct vault_codec_ctx *codec, struct hf_bytes plain,
                                     const uint8_t *digests, struct session_place *ret_place)
{
    struct vault_blob_in blob = {
        .type = VAULT_BLOB_PAGES_TYPE,
        .plain_len = (uint32_t)plain.len,
        .digests = digests,
        .pages = (uint32_t)(plain.len / VAULT_PAGE),
    };

    blob.codec = vault_compress(codec, plain, &blob.coded);
    vault_blob_id(session->place.keyring, VAULT_BLOB_PAGES_TYPE,
                  (struct hf_bytes){digests, (size_t)blob.pages * VAULT_DIGEST_LEN}, blob.id);
    return vault_session_place(ctx, session, &blob, ret_place);
}

static struct hf_status upload(struct hf_ctx *ctx, struct vault_session *session,
                               struct open_pack *pack)
{
    struct vault_pack_ref ref = {.number = pack->number};
    struct hf_bytes bytes = {NULL, 0};

    HF_TRY(vault_fault_check(ctx, &session->fault));
    memcpy(ref.id, vault_pack_writer_id(pack->writer), VAULT_ID_LEN);
    vault_pack_finish(pack->writer, &bytes, ref.sha256);
    ref.size_bytes = bytes.len;
    const char *name = vault_name_pack(ctx->arena, session->prefix, ref.number, ref.id);
    HF_TRY(objstore_put(ctx, session->place.store, name, bytes));
    hf_lock_take(&session->packs);
    vault_packtable_add(&session->fresh, &ref);
    hf_lock_release(&session->packs);
    atomic_fetch_add(&session->progress->stored_bytes, bytes.len);
    return hf_success();
}

static void pack_free(struct open_pack *pack)
{
    vault_pack_writer_free(pack->writer);
    hf_heap_free(pack);
}

static void uploader_main(void *arg)
{
    struct vault_session *session = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_MAX);
    struct hf_ctx ctx = session->base;
    void *item = NULL;

    ctx.arena = arena;
    while (hf_queue_pop(session->uploads, -1, &item) == HF_POP_ITEM) {
        hf_arena_reset(arena);
        vault_fault_set(&session->fault, upload(&ctx, session, item));
        pack_free(item);
        hf_lock_take(&session->packs);
        session->alive--;
        hf_lock_wake(&session->packs);
        hf_lock_release(&session->packs);
    }
}

struct hf_status vault_session_packs_start(struct hf_ctx *ctx, struct vault_session *session)
{
    session->uploads = hf_queue_new(PACKS_ALIVE);
    session->uploader = hf_thread_try("vault-put", uploader_main, session);
    return session->uploader == NULL ? hf_thread_refused(ctx->arena) : hf_success();
}

void vault_session_packs_end(struct vault_session *session)
{
    if (session->uploader == NULL) {
        return;
    }
    hf_lock_take(&session->packs);
    struct open_pack *pack = HF_TAKE(session->current);
    if (pack != NULL) {
        vault_pack_pad(pack->writer); /* the last of the session: earlier ones are full */
        pack->is_full = true;
        upload_if_ready(session, pack);
    }
    hf_lock_release(&session->packs);
    hf_queue_close(session->uploads);
    hf_thread_join(HF_TAKE(session->uploader));
}

void vault_session_packs_free(struct vault_session *session)
{
    hf_queue_free(HF_TAKE(session->uploads));
    vault_packtable_done(&session->fresh);
}

/* Number in a pack's object name (vault_name_pack), 0 when it is none. */
static uint64_t number_of(const char *base)
{
    size_t digits = strspn(base, "0123456789");
    uint8_t id[VAULT_ID_LEN];
    uint64_t number = 0;

    if (digits != PACK_DIGITS || base[digits] != '-' ||
        !hf_unhex(base + digits + 1, id, sizeof(id))) {
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        number = number * 10 + (uint64_t)(base[i] - '0');
    }
    return number < VAULT_PACK_NUMBER_MAX ? number : 0;
}

struct hf_status vault_session_packs_number(struct hf_ctx *ctx, struct vault_session *session,
                                            uint64_t at_least)
{
    const char *dir = hf_printf(ctx->arena, "%s/packs/", session->prefix);
    const char *after = hf_printf(ctx->arena, "%s%012" PRIu64, dir, at_least);
    struct objstore_page page = {.is_complete = false};

    session->next_pack = at_least;
    while (!page.is_complete) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(objstore_list(ctx, session->place.store, dir, after, LIST_STEP, &page));
        if (page.len == 0) {
            break;
        }
        after = page.entries[page.len - 1].name;
        uint64_t number = number_of(after + strlen(dir));
        if (number >= session->next_pack) {
            session->next_pack = number + 1;
        }
    }
    return hf_success();
}
