/* Reading WAL back.
 *
 * Surprise: "not found" is believed only after a second listing, because a slice can change its
 * name between two looks; and a damaged object is passed over when another one has its bytes.
 */
#include "vault/wal_reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/vec.h"
#include "vault/wal_slice.h"
#include "vault/wal_walk.h"

#define LOOKUP_ARENA ((size_t)16 << 20)
#define BAD_MAX 16 /* damaged objects of one segment that are passed over */
/* Objects of one segment that may hold one byte. A crash leaves one more; names beyond that are
 * somebody's flood, and names alone must not fill the memory. */
#define CANDIDATES_MAX 4096u
#define COPY_BYTES (256u << 10)

struct bad_object {
    uint32_t timeline;
    char name[VAULT_WAL_NAME_MAX];
};

struct vault_wal_reader {
    struct vault_wal_source source;
    struct vault_wal_place place;
    char *prefix;
    char *lineage;
    struct vault_wal_slice *slice; /* opened one, or NULL */
    uint32_t timeline;             /* of slice */
    struct bad_object bad[BAD_MAX];
    size_t bad_len;
};

struct vault_wal_reader *vault_wal_reader_new(struct objstore *store,
                                              const struct vault_keyring *keyring,
                                              const struct vault_wal_place *place)
{
    struct vault_wal_reader *reader = hf_heap_alloc(sizeof(*reader));

    reader->prefix = hf_heap_strdup(place->prefix);
    reader->lineage = hf_heap_strdup(place->lineage);
    reader->place = (struct vault_wal_place){.prefix = reader->prefix,
                                             .lineage = reader->lineage,
                                             .segment_bytes = place->segment_bytes};
    reader->source = (struct vault_wal_source){store, keyring, &reader->place};
    return reader;
}

void vault_wal_reader_free(struct vault_wal_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    vault_wal_slice_free(reader->slice);
    hf_heap_free(reader->prefix);
    hf_heap_free(reader->lineage);
    hf_heap_free(reader);
}

const struct vault_wal_source *vault_wal_reader_source(const struct vault_wal_reader *reader)
{
    return &reader->source;
}

static bool is_bad(const struct vault_wal_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->bad_len; i++) {
        if (strcmp(reader->bad[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Pass over an object from now on; false when too many are damaged. */
static bool mark_bad(struct vault_wal_reader *reader, const char *name)
{
    size_t len = strlen(name);

    if (reader->bad_len == BAD_MAX || len >= VAULT_WAL_NAME_MAX) {
        return false;
    }
    memcpy(reader->bad[reader->bad_len].name, name, len + 1);
    reader->bad_len++;
    return true;
}

/* An object that may hold the wanted byte. */
struct candidate {
    const char *name;
    uint64_t from;
    uint64_t to; /* UINT64_MAX: growing */
};

struct lookup {
    const struct vault_wal_reader *reader;
    struct hf_arena *arena;
    uint64_t lsn;
    HF_VEC(struct candidate) found;
};

static struct hf_status collect(struct hf_ctx *ctx, void *arg, const struct vault_wal_name *name,
                                const char *text, uint64_t size_bytes)
{
    struct lookup *lookup = arg;
    bool is_growing = name->kind == VAULT_WAL_GROWING;
    struct candidate *candidate;

    (void)size_bytes;
    if (lookup->lsn < name->from || (!is_growing && lookup->lsn >= name->to) ||
        is_bad(lookup->reader, text)) {
        return hf_success();
    }
    if (lookup->found.len == CANDIDATES_MAX) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED,
                       "more than %u objects claim the WAL at %s", CANDIDATES_MAX,
                       vault_wal_lsn_text(ctx->arena, lookup->lsn));
    }
    candidate = HF_VEC_ADD(lookup->arena, &lookup->found);
    candidate->name = hf_strdup(lookup->arena, text);
    candidate->from = name->from;
    candidate->to = is_growing ? UINT64_MAX : name->to;
    return hf_success();
}

/* Is a better than b? The longest closed object first, growing ones last. */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
    bool a_grows = a->to == UINT64_MAX;
    bool b_grows = b->to == UINT64_MAX;

    if (a_grows != b_grows) {
        return b_grows;
    }
    if (a_grows) {
        return a->from > b->from;
    }
    return a->to - a->from > b->to - b->from;
}

static struct candidate take_best(struct lookup *lookup)
{
    size_t best = 0;
    struct candidate candidate;

    for (size_t i = 1; i < lookup->found.len; i++) {
        if (is_better(&lookup->found.items[i], &lookup->found.items[best])) {
            best = i;
        }
    }
    candidate = lookup->found.items[best];
    lookup->found.items[best] = lookup->found.items[--lookup->found.len];
    return candidate;
}

/* Try the objects of one listing. is_again: an object vanished, look again. */
static struct hf_status open_best(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                  struct lookup *lookup, struct hf_status *damage, bool *is_again)
{
    while (lookup->found.len > 0) {
        struct candidate candidate = take_best(lookup);
        HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
        struct hf_status status =
            vault_wal_slice_open(ctx, &reader->source, candidate.name, &slice);

        if (status.code == HF_NOT_FOUND) {
            *is_again = true;
            continue;
        }
        if (status.code == HF_DATA_LOSS && mark_bad(reader, candidate.name)) {
            *damage = status;
            continue;
        }
        HF_TRY(status);
        if (vault_wal_slice_holds(slice, lookup->lsn)) {
            reader->slice = HF_TAKE(slice);
            return hf_success();
        }
    }
    return hf_success();
}

/* Open the best object that holds lsn; reader->slice stays NULL when there is none. */
static struct hf_status find_slice(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                   uint32_t timeline, uint64_t lsn, struct hf_status *damage)
{
    bool is_again = true;

    for (int tries = 0; tries < 4 && reader->slice == NULL && is_again; tries++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(LOOKUP_ARENA);
        struct lookup lookup = {.reader = reader, .arena = arena, .lsn = lsn};
        struct vault_wal_walk walk = {
            .store = reader->source.store,
            .place = &reader->place,
            .timeline = timeline,
            .segno = lsn / reader->place.segment_bytes,
            .is_segment = true,
            .fn = collect,
            .arg = &lookup,
        };

        is_again = tries == 0;
        HF_TRY(vault_wal_walk(ctx, &walk));
        HF_TRY(open_best(ctx, reader, &lookup, damage, &is_again));
    }
    return hf_success();
}

static void drop_slice(struct vault_wal_reader *reader)
{
    vault_wal_slice_free(reader->slice);
    reader->slice = NULL;
}

/* Keep the slice at hand when it holds lsn, else look for one that does. */
static struct hf_status hold_slice(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                   uint32_t timeline, uint64_t lsn, struct hf_status *damage)
{
    if (reader->slice != NULL &&
        (reader->timeline != timeline || !vault_wal_slice_holds(reader->slice, lsn))) {
        drop_slice(reader);
    }
    return reader->slice != NULL ? hf_success() : find_slice(ctx, reader, timeline, lsn, damage);
}

/* WAL from lsn on, as one record has it; empty when it is not in the vault. */
static struct hf_status view_at(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                uint32_t timeline, uint64_t lsn, struct hf_bytes *ret_bytes)
{
    struct hf_status damage = hf_success();

    for (;;) {
        struct hf_status status;

        HF_TRY(hold_slice(ctx, reader, timeline, lsn, &damage));
        if (reader->slice == NULL) {
            *ret_bytes = (struct hf_bytes){0};
            return damage;
        }
        reader->timeline = timeline;
        status = vault_wal_slice_at(ctx, reader->slice, lsn, ret_bytes);
        if (status.code == HF_OK) {
            return status;
        }
        if (status.code == HF_DATA_LOSS) {
            damage = status;
        }
        /* It vanished, or this object is damaged: another one may have the byte. */
        if (status.code != HF_NOT_FOUND &&
            (status.code != HF_DATA_LOSS ||
             !mark_bad(reader, vault_wal_slice_object(reader->slice)))) {
            return status;
        }
        drop_slice(reader);
        HF_TRY(hf_ctx_check(ctx));
    }
}

/* NOLINTNEXTLINE(readability-function-size): where, what and how much are one contract */
struct hf_status vault_wal_read_some(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                     uint32_t timeline, uint64_t from, size_t len, void *ret_bytes,
                                     size_t *ret_len)
{
    uint8_t *out = ret_bytes;
    size_t done = 0;

    HF_TRY(vault_wal_place_check(ctx->arena, &reader->place));
    while (done < len) {
        struct hf_bytes view = {0};
        size_t n;

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(view_at(ctx, reader, timeline, from + done, &view));
        if (view.len == 0) {
            break;
        }
        n = view.len < len - done ? view.len : len - done;
        memcpy(out + done, view.ptr, n);
        done += n;
    }
    *ret_len = done;
    return hf_success();
}

struct hf_status vault_wal_read(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                uint32_t timeline, uint64_t from, size_t len, void *ret_bytes)
{
    size_t done = 0;

    HF_TRY(vault_wal_read_some(ctx, reader, timeline, from, len, ret_bytes, &done));
    if (done < len) {
        return hf_fail(ctx->arena, HF_NOT_FOUND,
                       "WAL at %s of timeline %" PRIu32 " is not in the vault",
                       vault_wal_lsn_text(ctx->arena, from + done), timeline);
    }
    return hf_success();
}

/* Where a segment goes: one of the two. */
struct sink {
    int fd;
    struct hf_buf *buf;
};

static struct hf_status sink_write(struct hf_ctx *ctx, const struct sink *sink, const void *bytes,
                                   size_t len)
{
    if (sink->buf == NULL) {
        return hf_write_all(ctx->arena, sink->fd, bytes, len, "WAL segment");
    }
    hf_buf_append(sink->buf, bytes, len);
    return hf_buf_status(sink->buf, ctx->arena, "WAL segment");
}

static struct hf_status segment_copy(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                     uint32_t timeline, uint64_t segno, const struct sink *sink,
                                     uint64_t *ret_end)
{
    HF_CLEANUP(hf_heap_free) void *chunk = hf_heap_alloc(COPY_BYTES);
    uint64_t start = segno * reader->place.segment_bytes;
    uint64_t done = 0;
    uint64_t end;
    size_t n = 0;

    do {
        HF_TRY(vault_wal_read_some(ctx, reader, timeline, start + done, COPY_BYTES, chunk, &n));
        HF_TRY(sink_write(ctx, sink, chunk, n));
        done += n;
    } while (n == COPY_BYTES && done < reader->place.segment_bytes);
    if (done == 0) {
        return hf_fail(ctx->arena, HF_NOT_FOUND,
                       "WAL segment %" PRIu64 " of timeline %" PRIu32 " is not in the vault", segno,
                       timeline);
    }
    end = start + done;
    memset(chunk, 0, COPY_BYTES);
    for (; done < reader->place.segment_bytes; done += n) {
        uint64_t left = reader->place.segment_bytes - done;

        n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        HF_TRY(sink_write(ctx, sink, chunk, n));
    }
    *ret_end = end;
    return hf_success();
}

struct hf_status vault_wal_segment_to_fd(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                         uint32_t timeline, uint64_t segno, int fd,
                                         uint64_t *ret_end)
{
    struct sink sink = {.fd = fd};

    return segment_copy(ctx, reader, timeline, segno, &sink, ret_end);
}

struct hf_status vault_wal_segment_to_buf(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                          uint32_t timeline, uint64_t segno, struct hf_buf *buf,
                                          uint64_t *ret_end)
{
    struct sink sink = {.fd = -1, .buf = buf};

    return segment_copy(ctx, reader, timeline, segno, &sink, ret_end);
}
