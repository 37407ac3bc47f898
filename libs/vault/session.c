/* Life of a session: begin, commit, abort, free. */
#include "vault/session.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "vault/session_impl.h"

#define ARENA_MAX (256u << 20)
#define LEVEL_DEFAULT 3u
#define BACKUP_ID_MAX 200u

static struct hf_status make_units(struct hf_ctx *ctx, struct vault_session *session, size_t count)
{
    void *data =
        mmap(NULL, count * UNIT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (data == MAP_FAILED) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "no memory for %zu units", count);
    }
    session->units_len = count;
    session->unit_data = data;
    session->units = hf_heap_alloc(count * sizeof(session->units[0]));
    session->free_units = hf_queue_new(count);
    session->work = hf_queue_new(count);
    for (size_t i = 0; i < count; i++) {
        session->units[i].data = session->unit_data + i * UNIT_BYTES;
        vault_session_unit_free(session, &session->units[i]);
    }
    return hf_success();
}

/* A cache that is missing, stale or damaged is made anew; only cancellation and the like end the
 * backup here. */
static struct hf_status open_digests(struct hf_ctx *ctx, struct vault_session *session)
{
    const struct vault_root *root = session->predecessor;

    if (root == NULL) {
        return hf_success();
    }
    struct hf_status status = vault_digests_open(ctx, session->place.keyring, session->cache_path,
                                                 root->info.id, &session->digests);
    if (hf_is_ok(status)) {
        return status;
    }
    HF_TRY(hf_ctx_check(ctx));
    session->is_cache_rebuilt = true;
    HF_TRY(hf_wrap(ctx->arena,
                   vault_digests_rebuild(ctx, &session->place, root, session->cache_path),
                   "rebuilding the digest cache"));
    return vault_digests_open(ctx, session->place.keyring, session->cache_path, root->info.id,
                              &session->digests);
}

static struct vault_session *session_new(struct hf_ctx *ctx,
                                         const struct vault_session_options *options)
{
    struct vault_session *session = hf_heap_alloc(sizeof(*session));

    session->prefix = hf_heap_strdup(options->place.prefix);
    session->backup_id = hf_heap_strdup(options->backup_id);
    session->cache_path = hf_heap_strdup(options->cache_path);
    session->place = options->place;
    session->place.prefix = session->prefix;
    session->predecessor = options->predecessor;
    session->progress = options->progress != NULL ? options->progress : &session->own_progress;
    session->level = options->level > 0 ? options->level : LEVEL_DEFAULT;
    session->base = *ctx;
    session->base.arena = NULL;
    session->arena = hf_arena_new(ARENA_MAX);
    hf_lock_init(&session->order);
    hf_lock_init(&session->packs);
    vault_fault_init(&session->fault);
    return session;
}

static struct hf_status session_open(struct hf_ctx *ctx, struct vault_session *session,
                                     const struct vault_session_options *options)
{
    unsigned threads = vault_threads(options->threads);
    size_t units = 4 * (size_t)threads + 4;
    uint64_t number = options->next_pack_number > 0 ? options->next_pack_number : 1;

    if (options->predecessor != NULL && options->predecessor->next_pack > number) {
        number = options->predecessor->next_pack;
    }
    HF_TRY(vault_session_packs_number(ctx, session, number));
    HF_TRY(open_digests(ctx, session));
    HF_TRY(make_units(ctx, session, units < UNITS_MAX ? units : UNITS_MAX));
    session->codec = vault_codec_new((int)session->level);
    HF_TRY(vault_digests_writer_new(ctx, session->place.keyring, session->cache_path,
                                    session->backup_id, &session->cache));
    vault_session_order_new(session, (size_t)threads + 2);
    HF_TRY(vault_session_packs_start(ctx, session));
    return vault_session_workers_start(ctx, session, threads);
}

struct hf_status vault_session_begin(struct hf_ctx *ctx,
                                     const struct vault_session_options *options,
                                     struct vault_session **ret_session)
{
    if (!vault_keyring_can_digest(options->place.keyring)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "writing a backup needs the full keyring of the realm");
    }
    if (strnlen(options->backup_id, BACKUP_ID_MAX) == BACKUP_ID_MAX ||
        !objstore_is_name(options->backup_id)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s cannot be part of an object name",
                       options->backup_id);
    }
    struct vault_session *session = session_new(ctx, options);
    struct hf_status status = session_open(ctx, session, options);
    if (!hf_is_ok(status)) {
        vault_session_free(session);
        return status;
    }
    *ret_session = session;
    return hf_success();
}

uint32_t vault_session_last_crc32c(const struct vault_session *session)
{
    return session->last_crc32c;
}

struct hf_status vault_session_commit(struct hf_ctx *ctx, struct vault_session *session)
{
    HF_CHECK(session->is_finished);
    return vault_digests_commit(ctx, session->cache_path);
}

/* No thread works for the session afterwards. Repeatable. */
static void stop_threads(struct vault_session *session)
{
    if (!session->is_finished) {
        vault_fault_set(&session->fault, (struct hf_status){HF_CANCELLED, "session ends", NULL});
    }
    vault_session_workers_end(session);
    vault_session_packs_end(session);
}

void vault_session_free(struct vault_session *session)
{
    if (session == NULL) {
        return;
    }
    stop_threads(session);
    vault_session_order_free(session);
    vault_session_packs_free(session);
    vault_digests_free(session->digests);
    hf_queue_free(session->free_units);
    hf_queue_free(session->work);
    hf_heap_free(session->units);
    if (session->unit_data != NULL) {
        (void)munmap(session->unit_data, session->units_len * UNIT_BYTES);
    }
    vault_codec_free(session->codec);
    hf_arena_free(session->arena);
    hf_lock_done(&session->order);
    hf_lock_done(&session->packs);
    vault_fault_done(&session->fault);
    hf_heap_free(session->prefix);
    hf_heap_free(session->backup_id);
    hf_heap_free(session->cache_path);
    hf_heap_free(session);
    hf_heap_trim();
}

/* Removing is best effort: an object that stays is an orphan, which pruning finds. */
static void remove_object(struct hf_ctx *ctx, struct vault_session *session, const char *name)
{
    struct hf_status status = objstore_remove(ctx, session->place.store, name);

    (void)status;
}

void vault_session_abort(struct hf_ctx *ctx, struct vault_session *session)
{
    struct hf_ctx own = {.arena = ctx->arena, .trace = ctx->trace}; /* not to be cancelled */
    size_t overlays = 0;

    if (session == NULL) {
        return;
    }
    stop_threads(session);
    if (session->builder != NULL) {
        const struct vault_overlay *overlay =
            vault_map_builder_overlays(session->builder, &overlays);
        for (size_t i = 0; i < overlays; i++) {
            remove_object(&own, session,
                          vault_name_map(session->arena, session->prefix, overlay[i].ref.id));
        }
    }
    for (size_t i = 0; i < session->written.len; i++) {
        remove_object(&own, session, session->written.items[i]);
    }
    for (size_t i = 0; i < session->fresh.len; i++) {
        const struct vault_pack_ref *ref = &session->fresh.packs[i];
        remove_object(&own, session,
                      vault_name_pack(session->arena, session->prefix, ref->number, ref->id));
    }
    if (session->is_finished) {
        (void)unlink(hf_printf(session->arena, "%s.next", session->cache_path));
    }
    vault_session_free(session);
}
