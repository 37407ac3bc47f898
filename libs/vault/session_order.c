/* The order stage: what must happen in the order in which the source was fed.
 *
 * Surprise: there is no thread for it. Whoever brings the next unit drains the ring under the lock;
 * when a gather becomes full, that thread lets go of the lock, seals the gather, and comes back. So
 * at most one gather per thread is on its way, and all waits are for threads that are working. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vault/session_impl.h"

#define BUILDER_BYTES (16u << 20)
#define RUNS_SPILL 65536u /* runs of one file in memory; more go to the map at once */

void vault_session_order_new(struct vault_session *session, size_t gathers)
{
    const struct vault_map_set *old =
        session->predecessor != NULL ? &session->predecessor->map : &session->no_map;

    session->builder = vault_map_builder_new(&session->place, old, BUILDER_BYTES);
    for (size_t i = 0; i < gathers; i++) {
        struct gather *gather = hf_heap_alloc(sizeof(*gather));
        gather->data = hf_heap_alloc(UNIT_BYTES);
        gather->next = session->free_gathers;
        session->free_gathers = gather;
    }
}

static void gather_free(struct gather *gather)
{
    if (gather != NULL) {
        hf_heap_free(gather->data);
        hf_heap_free(gather);
    }
}

void vault_session_file_free(struct session_file *file)
{
    if (file != NULL) {
        hf_heap_free(file->path);
        hf_heap_free(file->link);
        hf_heap_free(file->runs);
        hf_heap_free(file);
    }
}

void vault_session_order_free(struct vault_session *session)
{
    while (session->free_gathers != NULL) {
        struct gather *gather = session->free_gathers;
        session->free_gathers = gather->next;
        gather_free(gather);
    }
    gather_free(HF_TAKE(session->gather));
    while (session->files != NULL) {
        struct session_file *file = session->files;
        session->files = file->next;
        vault_session_file_free(file);
    }
    vault_map_builder_free(HF_TAKE(session->builder));
    vault_digests_writer_free(HF_TAKE(session->cache));
}

void vault_session_file_link(struct vault_session *session, struct session_file *file)
{
    hf_lock_take(&session->order);
    file->next = session->files;
    if (file->next != NULL) {
        file->next->prev = file;
    }
    session->files = file;
    hf_lock_release(&session->order);
}

static void file_unlink(struct vault_session *session, struct session_file *file)
{
    if (file->next != NULL) {
        file->next->prev = file->prev;
    }
    if (file->prev != NULL) {
        file->prev->next = file->next;
    } else {
        session->files = file->next;
    }
}

static int compare_runs(const void *a, const void *b)
{
    const struct vault_run *x = a;
    const struct vault_run *y = b;

    return x->first_page < y->first_page ? -1 : x->first_page > y->first_page;
}

/* Runs of a unit never cross the end of a segment, and must not be joined over it. */
static void run_add(struct session_file *file, const struct vault_run *run)
{
    struct vault_run *last = file->runs_len > 0 ? &file->runs[file->runs_len - 1] : NULL;

    file->has_changes = true;
    if (last != NULL && last->pack == run->pack && run->first_page % VAULT_SEGMENT_PAGES != 0 &&
        last->first_page + last->count == run->first_page &&
        last->ordinal + last->count == run->ordinal) {
        last->count += run->count;
        return;
    }
    if (file->runs == NULL || file->runs_len == file->runs_cap) {
        file->runs_cap = file->runs_cap * 2 + 8;
        file->runs = hf_heap_grow(file->runs, file->runs_cap * sizeof(file->runs[0]));
    }
    file->runs[file->runs_len++] = *run;
}

/* Runs of one segment from *at on into an entry. */
static void take_segment(const struct session_file *file, uint32_t segment, size_t *at,
                         struct vault_map_entry *entry)
{
    size_t first = *at;

    while (*at < file->runs_len && file->runs[*at].first_page / VAULT_SEGMENT_PAGES == segment) {
        ++*at;
    }
    entry->segment = segment;
    entry->runs = file->runs + first;
    entry->runs_len = *at - first;
}

/* Write the runs that are known; with attributes in segment 0 when the file is complete. */
static struct hf_status emit(struct hf_ctx *ctx, struct vault_session *session,
                             struct session_file *file, bool is_complete)
{
    struct vault_map_entry entry = {.attrs = file->attrs};
    size_t at = 0;

    memcpy(entry.key, file->key, VAULT_ID_LEN);
    if (file->runs_len > 1) {
        qsort(file->runs, file->runs_len, sizeof(file->runs[0]), compare_runs);
    }
    if (!is_complete) {
        entry.attrs.node = VAULT_NODE_RUNS;
    }
    if (is_complete || file->runs[0].first_page < VAULT_SEGMENT_PAGES) {
        take_segment(file, 0, &at, &entry);
        HF_TRY(vault_map_builder_add(ctx, session->builder, &entry));
    }
    while (at < file->runs_len) {
        take_segment(file, file->runs[at].first_page / VAULT_SEGMENT_PAGES, &at, &entry);
        HF_TRY(vault_map_builder_add(ctx, session->builder, &entry));
    }
    file->runs_len = 0;
    return hf_success();
}

/* All pages have addresses: the file becomes part of the map (when it differs from the
 * predecessor's) and of the new cache. */
static struct hf_status complete(struct hf_ctx *ctx, struct vault_session *session,
                                 struct session_file *file)
{
    struct vault_digests_file record = {.first = file->first_digest, .pages = file->pages};

    memcpy(record.key, file->key, VAULT_ID_LEN);
    vault_attrs_digest(session->place.keyring, &file->attrs, record.attrs);
    if (file->has_changes || file->before == NULL ||
        memcmp(file->before->attrs, record.attrs, VAULT_ATTR_LEN) != 0) {
        HF_TRY(emit(ctx, session, file, true));
    }
    vault_digests_writer_file(session->cache, &record);
    if (file->attrs.node == VAULT_NODE_FILE) {
        session->files_done++;
        atomic_fetch_add(&session->progress->files, 1);
    }
    return hf_success();
}

static void complete_if_ready(struct hf_ctx *ctx, struct vault_session *session,
                              struct session_file *file)
{
    if (file->is_ended && file->unplaced == 0) {
        vault_fault_set(&session->fault, complete(ctx, session, file));
        file_unlink(session, file);
        vault_session_file_free(file);
    } else if (file->runs_len >= RUNS_SPILL) {
        vault_fault_set(&session->fault, emit(ctx, session, file, false));
    }
}

/* Copy page i of unit into the open gather; true when that is full now. */
static bool gather_page(struct vault_session *session, const struct unit *unit, uint32_t i)
{
    if (session->gather == NULL) {
        HF_CHECK(session->free_gathers != NULL); /* one per thread and one open */
        session->gather = session->free_gathers;
        session->free_gathers = session->gather->next;
        session->gather->pages = 0;
    }
    struct gather *gather = session->gather;
    uint32_t at = gather->pages++;
    memcpy(gather->data + (size_t)at * VAULT_PAGE, unit->data + (size_t)i * VAULT_PAGE, VAULT_PAGE);
    memcpy(gather->digests + (size_t)at * VAULT_DIGEST_LEN,
           unit->after + (size_t)i * VAULT_DIGEST_LEN, VAULT_DIGEST_LEN);
    gather->files[at] = unit->file;
    gather->numbers[at] = unit->first_page + i;
    unit->file->unplaced++;
    unit->file->has_changes = true;
    return gather->pages == UNIT_PAGES;
}

/* Pages of unit from unit->drained on; true when it stopped at a full gather. */
static bool drain_pages(struct vault_session *session, struct unit *unit)
{
    while (!unit->is_placed && unit->drained < unit->pages) {
        uint32_t i = unit->drained++;
        if ((unit->changed >> i & 1) != 0 && gather_page(session, unit, i)) {
            return true;
        }
    }
    return false;
}

static void drain_unit(struct hf_ctx *ctx, struct vault_session *session, struct unit *unit)
{
    struct session_file *file = unit->file;

    if (unit->first_page == 0) {
        file->first_digest = vault_digests_writer_next(session->cache);
    }
    file->pages = unit->first_page + unit->pages;
    vault_fault_set(&session->fault,
                    vault_digests_writer_pages(ctx, session->cache, unit->after, unit->pages));
    if (unit->is_placed) {
        const struct vault_run run = {.pack = unit->pack,
                                      .ordinal = unit->ordinal,
                                      .first_page = unit->first_page,
                                      .count = unit->pages};
        run_add(file, &run);
    }
    file->is_ended = unit->is_last;
    complete_if_ready(ctx, session, file);
}

/* Caller holds the lock. A full gather to be sealed, or NULL when nothing is left to do now. */
static struct gather *drain(struct hf_ctx *ctx, struct vault_session *session)
{
    for (;;) {
        struct unit **slot = &session->ring[session->next_drain % session->units_len];
        struct unit *unit = *slot;
        if (unit == NULL) {
            return NULL;
        }
        if (drain_pages(session, unit)) {
            return HF_TAKE(session->gather);
        }
        drain_unit(ctx, session, unit);
        *slot = NULL;
        session->next_drain++;
        vault_session_unit_free(session, unit);
    }
}

/* Caller holds the lock: the pages of a sealed gather get their addresses. */
static void resolve(struct hf_ctx *ctx, struct vault_session *session, struct gather *gather,
                    struct session_place place)
{
    for (uint32_t i = 0; i < gather->pages; i++) {
        struct session_file *file = gather->files[i];
        const struct vault_run run = {.pack = place.pack,
                                      .ordinal = place.ordinal + i,
                                      .first_page = gather->numbers[i],
                                      .count = 1};
        run_add(file, &run);
        file->unplaced--;
        complete_if_ready(ctx, session, file);
    }
}

static struct hf_bytes pages_of(const struct gather *gather)
{
    return (struct hf_bytes){gather->data, (size_t)gather->pages * VAULT_PAGE};
}

/* Caller holds the lock; it is released while the gather is compressed and sealed. */
static void seal_gather(struct hf_ctx *ctx, struct vault_session *session,
                        struct vault_codec_ctx *codec, struct gather *gather)
{
    struct session_place place = {0, 0};

    hf_lock_release(&session->order);
    struct hf_status status = hf_success();
    if (!vault_fault_is_set(&session->fault)) {
        status =
            vault_session_store(ctx, session, codec, pages_of(gather), gather->digests, &place);
        vault_fault_set(&session->fault, status);
    }
    hf_lock_take(&session->order);
    if (!vault_fault_is_set(&session->fault)) {
        resolve(ctx, session, gather, place);
    }
    gather->next = session->free_gathers;
    session->free_gathers = gather;
}

void vault_session_order_unit(struct hf_ctx *ctx, struct vault_session *session,
                              struct vault_codec_ctx *codec, struct unit *unit)
{
    struct gather *gather = NULL;

    hf_lock_take(&session->order);
    session->ring[unit->seq % session->units_len] = unit;
    while ((gather = drain(ctx, session)) != NULL) {
        seal_gather(ctx, session, codec, gather);
    }
    hf_lock_release(&session->order);
}

void vault_session_order_entry(struct hf_ctx *ctx, struct vault_session *session,
                               struct session_file *file)
{
    hf_lock_take(&session->order);
    file->is_ended = true;
    complete_if_ready(ctx, session, file);
    hf_lock_release(&session->order);
}

void vault_session_order_flush(struct hf_ctx *ctx, struct vault_session *session)
{
    hf_lock_take(&session->order);
    struct gather *gather = HF_TAKE(session->gather);
    if (gather != NULL) {
        seal_gather(ctx, session, session->codec, gather);
    }
    hf_lock_release(&session->order);
}
