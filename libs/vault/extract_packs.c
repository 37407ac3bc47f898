/* Threads of an extraction: each takes a pack, reads the needed blobs in long sequential reads, and
 * writes their pages. Decoding a blob happens once however many runs lie in it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "vault/extract_impl.h"
#include "vault/table_io.h"

#define ARENA_MAX (96u << 20)
#define WINDOW_BYTES (8u << 20) /* of one read */
#define GAP_BYTES (128u << 10)  /* unneeded bytes that are read over rather than skipped */

struct reader {
    struct extract *extract;
    struct hf_arena *arena;
    struct vault_blob_reader *blobs;
    uint8_t *window; /* heap */
    struct hf_thread *thread;
    unsigned index;

    /* The pack at hand. */
    struct vault_pack pack;
    const struct extract_piece *pieces;
    size_t pieces_len;
    size_t at; /* first piece that is not wholly written */
};

static int compare_pieces(const void *a, const void *b)
{
    const struct extract_piece *x = a;
    const struct extract_piece *y = b;

    if (x->pack != y->pack) {
        return x->pack < y->pack ? -1 : 1;
    }
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Does some piece from reader->at on need pages of this blob? Moves at past finished pieces. */
static bool is_needed(struct reader *reader, const struct vault_blob_info *blob)
{
    while (reader->at < reader->pieces_len) {
        const struct extract_piece *piece = &reader->pieces[reader->at];
        if (piece->ordinal + piece->count > blob->first_page) {
            return blob->pages > 0 && piece->ordinal < blob->first_page + blob->pages;
        }
        reader->at++;
    }
    return false;
}

/* All pieces' parts in one decoded blob. */
static struct hf_status write_blob(struct hf_ctx *ctx, struct reader *reader,
                                   const struct vault_blob_info *blob, struct hf_bytes plain)
{
    uint32_t end = blob->first_page + blob->pages;

    for (size_t i = reader->at; i < reader->pieces_len; i++) {
        const struct extract_piece *piece = &reader->pieces[i];
        if (piece->ordinal >= end) {
            break;
        }
        uint32_t skip = piece->ordinal < blob->first_page ? blob->first_page - piece->ordinal : 0;
        if (skip >= piece->count) {
            continue;
        }
        struct extract_piece part = *piece;
        part.ordinal += skip;
        part.first_page += skip;
        part.count = min_u32(piece->count - skip, end - part.ordinal);
        size_t offset = (size_t)(part.ordinal - blob->first_page) * VAULT_PAGE;
        HF_CHECK(offset + (size_t)part.count * VAULT_PAGE <= plain.len);
        HF_TRY(vault_extract_pages(ctx, reader->extract, reader->extract->files[part.file], &part,
                                   plain.ptr + offset));
    }
    return hf_success();
}

/* Blobs [first, end) lie in one window: read it and write what is needed. */
static struct hf_status read_window(struct hf_ctx *ctx, struct reader *reader, size_t first,
                                    size_t end)
{
    const struct vault_place *place = &reader->extract->options->place;
    const struct vault_blob_info *blobs = reader->pack.blobs;
    uint64_t start = blobs[first].offset;
    uint64_t len = blobs[end - 1].offset + blobs[end - 1].sealed_len - start;
    struct hf_bytes plain;

    HF_CHECK(len <= WINDOW_BYTES);
    HF_TRY(objstore_read(ctx, place->store, reader->pack.name, start, (size_t)len, reader->window));
    for (size_t i = first; i < end; i++) {
        if (!is_needed(reader, &blobs[i])) {
            continue;
        }
        HF_TRY(vault_fault_check(ctx, &reader->extract->fault));
        struct hf_bytes sealed = {reader->window + (blobs[i].offset - start), blobs[i].sealed_len};
        HF_TRY(vault_blob_open(ctx, place->keyring, &reader->pack, i, false, sealed, reader->blobs,
                               &plain));
        HF_TRY(write_blob(ctx, reader, &blobs[i], plain));
    }
    return hf_success();
}

/* Is blob i wanted by a piece from *piece on? A look ahead that leaves reader->at alone. */
static bool is_wanted(const struct reader *reader, size_t i, size_t *piece)
{
    const struct vault_blob_info *blob = &reader->pack.blobs[i];

    while (*piece < reader->pieces_len &&
           reader->pieces[*piece].ordinal + reader->pieces[*piece].count <= blob->first_page) {
        ++*piece;
    }
    return *piece < reader->pieces_len && blob->pages > 0 &&
           reader->pieces[*piece].ordinal < blob->first_page + blob->pages;
}

/* End of the window that begins with blob first. */
static size_t window_end(const struct reader *reader, size_t first)
{
    const struct vault_pack *pack = &reader->pack;
    uint64_t start = pack->blobs[first].offset;
    size_t end = first + 1;
    size_t piece = reader->at;

    for (size_t i = first + 1; i < pack->blobs_len; i++) {
        const struct vault_blob_info *last = &pack->blobs[end - 1];
        const struct vault_blob_info *blob = &pack->blobs[i];
        if (blob->offset + blob->sealed_len - start > WINDOW_BYTES ||
            blob->offset - (last->offset + last->sealed_len) > GAP_BYTES) {
            break;
        }
        if (is_wanted(reader, i, &piece)) {
            end = i + 1;
        }
    }
    return end;
}

static struct hf_status check_pieces(struct hf_ctx *ctx, const struct reader *reader)
{
    uint32_t page = 0;

    for (size_t i = 0; i < reader->pack.blobs_len; i++) {
        const struct vault_blob_info *blob = &reader->pack.blobs[i];
        if (blob->first_page != page || blob->sealed_len > WINDOW_BYTES) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "%s: pages out of order", reader->pack.name);
        }
        page += blob->pages;
    }
    for (size_t i = 0; i < reader->pieces_len; i++) {
        const struct extract_piece *piece = &reader->pieces[i];
        if (piece->count > page || piece->ordinal > page - piece->count) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "%s has %u pages, the map wants page %u of it",
                           reader->pack.name, page, piece->ordinal + piece->count - 1);
        }
    }
    return hf_success();
}

static struct hf_status read_pack(struct hf_ctx *ctx, struct reader *reader,
                                  const struct extract_job *job)
{
    struct extract *extract = reader->extract;
    const struct vault_place *place = &extract->options->place;
    uint32_t number = extract->pieces[job->first].pack;
    const struct vault_pack_ref *ref = vault_packtable_find(&extract->packs, number);
    struct vault_table_ref wanted = {0};

    if (ref == NULL) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the map of %s names an unknown pack %u",
                       place->prefix, number);
    }
    memcpy(wanted.id, ref->id, VAULT_ID_LEN);
    wanted.size_bytes = ref->size_bytes;
    const char *name = vault_name_pack(ctx->arena, place->prefix, ref->number, ref->id);
    HF_TRY(vault_table_open(ctx, place, VAULT_PACK_DATA, name, &wanted, &reader->pack));
    reader->pieces = extract->pieces + job->first;
    reader->pieces_len = job->end - job->first;
    reader->at = 0;
    HF_TRY(check_pieces(ctx, reader));
    size_t i = 0;
    while (i < reader->pack.blobs_len) {
        size_t end = i + 1;
        if (is_needed(reader, &reader->pack.blobs[i])) {
            end = window_end(reader, i);
            HF_TRY(read_window(ctx, reader, i, end));
        }
        i = end;
    }
    return hf_success();
}

/* Next job of stretch i, or jobs_len when it is used up. */
static size_t take_job(struct extract *extract, unsigned i)
{
    size_t end = extract->jobs_len * (i + 1) / extract->threads;
    size_t job = atomic_fetch_add(&extract->next_job[i], 1);

    return job < end ? job : extract->jobs_len;
}

static void reader_main(void *arg)
{
    struct reader *reader = arg;
    struct extract *extract = reader->extract;
    struct hf_ctx ctx = extract->base;
    unsigned helped = 0;

    ctx.arena = reader->arena;
    while (helped < extract->threads && !vault_fault_is_set(&extract->fault)) {
        size_t job = take_job(extract, (reader->index + helped) % extract->threads);
        if (job == extract->jobs_len) {
            helped++;
            continue;
        }
        hf_arena_reset(reader->arena);
        vault_fault_set(&extract->fault, read_pack(&ctx, reader, &extract->jobs[job]));
    }
}

static void make_jobs(struct extract *extract)
{
    size_t cap = 0;

    if (extract->pieces_len > 1) {
        qsort(extract->pieces, extract->pieces_len, sizeof(extract->pieces[0]), compare_pieces);
    }
    extract->jobs_len = 0;
    for (size_t i = 0; i < extract->pieces_len; i++) {
        if (i > 0 && extract->pieces[i].pack == extract->pieces[i - 1].pack) {
            extract->jobs[extract->jobs_len - 1].end = i + 1;
            continue;
        }
        if (extract->jobs_len == cap) {
            cap = cap * 2 + 64;
            extract->jobs = hf_heap_grow(extract->jobs, cap * sizeof(extract->jobs[0]));
        }
        extract->jobs[extract->jobs_len++] = (struct extract_job){i, i + 1};
    }
}

struct hf_status vault_extract_batch(struct hf_ctx *ctx, struct extract *extract)
{
    struct reader *readers = NULL;
    unsigned threads = vault_threads(extract->options->threads);

    make_jobs(extract);
    threads = extract->jobs_len < threads ? (unsigned)extract->jobs_len : threads;
    extract->threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        atomic_store(&extract->next_job[i], extract->jobs_len * i / threads);
    }
    readers = hf_heap_alloc((threads + 1) * sizeof(readers[0]));
    for (unsigned i = 0; i < threads; i++) {
        readers[i].extract = extract;
        readers[i].index = i;
        readers[i].arena = hf_arena_new(ARENA_MAX);
        readers[i].blobs = vault_blob_reader_new();
        readers[i].window = hf_heap_alloc(WINDOW_BYTES);
        readers[i].thread = hf_thread_try("vault-read", reader_main, &readers[i]);
    }
    if (threads > 0 && readers[0].thread == NULL) { /* no thread to have: this one does it alone */
        reader_main(&readers[0]);
    }
    for (unsigned i = 0; i < threads; i++) {
        hf_thread_join(readers[i].thread);
        hf_heap_free(readers[i].window);
        vault_blob_reader_free(readers[i].blobs);
        hf_arena_free(readers[i].arena);
    }
    hf_heap_free(readers);
    hf_heap_free(HF_TAKE(extract->jobs));
    return vault_fault_check(ctx, &extract->fault);
}
