/* The end of a session: tombstones, map, table of packs, root. */
#include <string.h>

#include "base/check.h"
#include "vault/session_impl.h"

static void note_written(struct vault_session *session, const char *name, uint64_t size)
{
    *HF_VEC_ADD(session->arena, &session->written) = hf_strdup(session->arena, name);
    session->table_bytes += size;
    atomic_fetch_add(&session->progress->stored_bytes, size);
}

static void wrote_map(void *arg, const struct vault_table_ref *ref)
{
    struct vault_session *session = arg;

    note_written(session, vault_name_map(session->arena, session->prefix, ref->id),
                 ref->size_bytes);
}

static void wrote_table(void *arg, const struct vault_table_ref *ref)
{
    struct vault_session *session = arg;

    note_written(session, vault_name_table(session->arena, session->prefix, ref->id),
                 ref->size_bytes);
}

static struct hf_status add_tombstones(struct hf_ctx *ctx, struct vault_session *session)
{
    size_t len = 0;

    if (session->digests == NULL) {
        return hf_success();
    }
    const struct vault_digests_file *files = vault_digests_files(session->digests, &len);
    for (size_t i = 0; i < len; i++) {
        if (!files[i].is_seen) {
            struct vault_map_entry gone = {.attrs = {.node = VAULT_NODE_GONE}};
            memcpy(gone.key, files[i].key, VAULT_ID_LEN);
            HF_TRY(vault_map_builder_add(ctx, session->builder, &gone));
        }
    }
    return hf_success();
}

/* All fed pages are in packs, all packs are durable. */
static struct hf_status drain_all(struct hf_ctx *ctx, struct vault_session *session)
{
    vault_session_workers_end(session);
    HF_TRY(vault_fault_check(ctx, &session->fault));
    vault_session_order_flush(ctx, session);
    vault_session_packs_end(session);
    HF_TRY(vault_fault_check(ctx, &session->fault));
    HF_CHECK(session->files == NULL && session->current == NULL);
    vault_packtable_sort(&session->fresh);
    return hf_success();
}

static struct hf_status write_tables(struct hf_ctx *ctx, struct vault_session *session,
                                     struct vault_root *root)
{
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    struct vault_map_grow map = {.place = &session->place,
                                 .old = session->predecessor != NULL ? &session->predecessor->map
                                                                     : &session->no_map,
                                 .wrote = wrote_map,
                                 .arg = session};
    struct vault_packtable_grow packs = {.place = &session->place,
                                         .fresh = &session->fresh,
                                         .used = &used,
                                         .wrote = wrote_table,
                                         .arg = session};

    HF_TRY(add_tombstones(ctx, session));
    HF_TRY(vault_map_builder_finish(ctx, session->builder, &map.overlays, &map.overlays_len));
    for (size_t i = 0; i < map.overlays_len; i++) {
        session->table_bytes += map.overlays[i].ref.size_bytes;
    }
    HF_TRY(vault_map_grow(ctx, &map, &root->map, &used));
    if (session->predecessor != NULL) {
        packs.old = session->predecessor->pack_tables;
        packs.old_len = session->predecessor->pack_tables_len;
    }
    HF_TRY(vault_packtable_grow(ctx, &packs, &root->pack_tables, &root->pack_tables_len));
    vault_root_set_used(ctx->arena, root, &used);
    return hf_success();
}

static uint64_t packs_bytes(const struct vault_session *session)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < session->fresh.len; i++) {
        bytes += session->fresh.packs[i].size_bytes;
    }
    return bytes;
}

/* An overlay may have been merged away in the same session: a first backup of many files writes
 * several and cuts them into shards. Nothing refers to it, so it goes. */
static void drop_merged(struct hf_ctx *ctx, struct vault_session *session,
                        const struct vault_root *root)
{
    size_t len = 0;
    const struct vault_overlay *overlays = vault_map_builder_overlays(session->builder, &len);

    for (size_t i = 0; i < len; i++) {
        bool is_used = false;
        for (size_t k = 0; k < root->map.tables_len && !is_used; k++) {
            is_used = memcmp(root->map.tables[k].id, overlays[i].ref.id, VAULT_ID_LEN) == 0;
        }
        if (!is_used) {
            const char *name = vault_name_map(ctx->arena, session->prefix, overlays[i].ref.id);
            struct hf_status status = objstore_remove(ctx, session->place.store, name);
            session->table_bytes -= hf_is_ok(status) ? overlays[i].ref.size_bytes : 0;
        }
    }
}

static struct hf_status write_root(struct hf_ctx *ctx, struct vault_session *session,
                                   const struct vault_session_facts *facts, struct vault_root *root)
{
    uint64_t size = 0;

    root->info = *facts->info;
    root->info.id = hf_strdup(ctx->arena, session->backup_id);
    root->info.source_bytes = atomic_load(&session->progress->source_bytes);
    root->info.changed_bytes = atomic_load(&session->progress->changed_bytes);
    root->info.stored_bytes = packs_bytes(session) + session->table_bytes;
    root->info.files = session->files_done;
    root->predecessor = session->predecessor != NULL ? session->predecessor->info.id : "";
    root->facts_len = facts->facts_len;
    root->facts = HF_NEW_N(ctx->arena, struct hf_pair, facts->facts_len + 1);
    for (size_t i = 0; i < facts->facts_len; i++) {
        root->facts[i] = facts->facts[i];
    }
    root->next_pack = session->next_pack;
    HF_TRY(vault_root_write(ctx, &session->place, root, &size));
    note_written(session, root->info.root, size);
    root->info.stored_bytes += size;
    return hf_success();
}

struct hf_status vault_session_finish(struct hf_ctx *ctx, struct vault_session *session,
                                      const struct vault_session_facts *facts,
                                      struct vault_session_result *ret_result)
{
    struct vault_root root = {0};

    HF_CHECK(session->file == NULL && !session->is_finished);
    HF_TRY(vault_fault_check(ctx, &session->fault));
    HF_TRY(drain_all(ctx, session));
    HF_TRY(write_tables(ctx, session, &root));
    drop_merged(ctx, session, &root);
    HF_TRY(vault_digests_writer_finish(ctx, session->cache));
    HF_TRY(write_root(ctx, session, facts, &root));
    session->is_finished = true;
    *ret_result = (struct vault_session_result){
        .info = root.info,
        .packs = session->fresh.len,
        .next_pack_number = session->next_pack,
        .map_bytes = session->table_bytes,
        .is_cache_rebuilt = session->is_cache_rebuilt,
    };
    return hf_success();
}
