/* Verification of WAL: every record of every object on the path is authenticated, and what no
 * object covers is named. */
#include "vault/wal_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "vault/wal_compare.h"
#include "vault/wal_walk.h"

#define SEGMENT_ARENA ((size_t)32 << 20)
#define SEGNO_DIGITS 16
#define PAGE_NAMES 1000u
#define PAGE_ARENA ((size_t)8 << 20)

struct checking {
    struct vault_wal_source source;
    struct hf_arena *arena; /* of findings */
    HF_VEC(struct vault_wal_finding) findings;
    struct vault_wal_report report;
    const struct vault_wal_range *leg;
};

/* [from, to) is cut to the leg. */
static void add_finding(struct checking *checking, const char *object, const char *what,
                        uint64_t from, uint64_t to)
{
    const struct vault_wal_range *leg = checking->leg;
    struct vault_wal_finding *finding;

    checking->report.findings_total++;
    if (checking->findings.len < VAULT_WAL_FINDINGS_MAX) {
        finding = HF_VEC_ADD(checking->arena, &checking->findings);
        finding->object = hf_strdup(checking->arena, object);
        finding->what = hf_strdup(checking->arena, what);
        finding->range = (struct vault_wal_range){
            leg->timeline, from > leg->from ? from : leg->from, to < leg->to ? to : leg->to};
    }
}

static struct hf_status check_object(struct hf_ctx *ctx, void *arg,
                                     const struct vault_wal_name *name, const char *text,
                                     uint64_t size_bytes)
{
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;
    struct checking *checking = arg;
    struct hf_status status;

    (void)size_bytes;
    if (name->from >= checking->leg->to ||
        (name->kind == VAULT_WAL_CLOSED && name->to <= checking->leg->from)) {
        return hf_success();
    }
    status = vault_wal_slice_open(ctx, &checking->source, text, &slice);
    if (status.code == HF_OK) {
        status = vault_wal_slice_verify(ctx, slice);
    }
    checking->report.objects++;
    if (status.code == HF_DATA_LOSS) {
        add_finding(checking, text, status.message, name->from,
                    name->kind == VAULT_WAL_CLOSED ? name->to : checking->leg->to);
        return hf_success();
    }
    HF_TRY(status);
    checking->report.bytes_checked += vault_wal_slice_to(slice) - vault_wal_slice_from(slice);
    return hf_success();
}

static void report_missing(struct hf_ctx *ctx, struct checking *checking, uint64_t from,
                           uint64_t to)
{
    const struct vault_wal_place *place = checking->source.place;
    uint32_t timeline = checking->leg->timeline;
    const char *what = hf_printf(ctx->arena, "missing %s to %s of timeline %" PRIu32,
                                 vault_wal_lsn_text(ctx->arena, from),
                                 vault_wal_lsn_text(ctx->arena, to), timeline);

    add_finding(checking,
                vault_wal_segment_dir(ctx->arena, place, timeline, from / place->segment_bytes),
                what, from, to);
}

/* Holes of [from, to), which lies in one segment. */
static struct hf_status check_cover(struct hf_ctx *ctx, struct checking *checking, uint64_t from,
                                    uint64_t to)
{
    const struct vault_wal_range part = {checking->leg->timeline, from, to};
    struct vault_wal_index index = {0};
    struct vault_wal_range *holes = NULL;

    HF_TRY(vault_wal_index_segment(ctx, &checking->source, part.timeline,
                                   from / checking->source.place->segment_bytes, &index));
    size_t len = vault_wal_index_holes(ctx->arena, &index, &part, &holes);

    for (size_t i = 0; i < len; i++) {
        report_missing(ctx, checking, holes[i].from, holes[i].to);
    }
    return hf_success();
}

/* All objects of the segment that holds lsn. */
static struct hf_status check_objects(struct hf_ctx *ctx, struct checking *checking, uint64_t lsn)
{
    struct vault_wal_walk walk = {
        .store = checking->source.store,
        .place = checking->source.place,
        .timeline = checking->leg->timeline,
        .segno = lsn / checking->source.place->segment_bytes,
        .is_segment = true,
        .fn = check_object,
        .arg = checking,
    };

    return vault_wal_walk(ctx, &walk);
}

/* Moves *ret_lsn down to the first segment that a page of names has an object of; names that are
 * none are passed over, and after becomes the last of them. */
static bool page_find(const struct vault_wal_place *place, const struct objstore_page *page,
                      char after[OBJSTORE_NAME_MAX + 1], uint64_t *ret_lsn)
{
    struct vault_wal_name name = {0};

    for (size_t i = 0; i < page->len; i++) {
        if (vault_wal_name_parse(place, page->entries[i].name, &name)) {
            uint64_t lsn = name.segno * place->segment_bytes;

            *ret_lsn = lsn < *ret_lsn ? lsn : *ret_lsn;
            return true;
        }
    }
    if (page->len > 0) {
        (void)snprintf(after, OBJSTORE_NAME_MAX + 1, "%s", page->entries[page->len - 1].name);
    }
    return page->len == 0;
}

/* Where the segment with the next object behind lsn's begins; the leg's end when there is none. So
 * a leg costs as much as the vault has of it, not as much as somebody says that it is long. The
 * next name nearly always is one; pages grow where foreign files stand between. */
static struct hf_status next_stored(struct hf_ctx *ctx, const struct checking *checking,
                                    uint64_t lsn, uint64_t *ret_lsn)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(PAGE_ARENA);
    const struct vault_wal_place *place = checking->source.place;
    const char *dir = vault_wal_segment_dir(ctx->arena, place, checking->leg->timeline,
                                            lsn / place->segment_bytes);
    const char *below = hf_strndup(ctx->arena, dir, strlen(dir) - SEGNO_DIGITS);
    struct hf_ctx sub = *ctx;
    char after[OBJSTORE_NAME_MAX + 1];
    bool is_found = false;

    sub.arena = arena;
    (void)snprintf(after, sizeof(after), "%s/\x7f", dir);
    *ret_lsn = checking->leg->to;
    for (size_t names = 1; !is_found; names = names < PAGE_NAMES ? 4 * names : names) {
        struct objstore_page page = {0};
        struct hf_status status =
            objstore_list(&sub, checking->source.store, below, after, names, &page);

        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
        is_found = page_find(place, &page, after, ret_lsn);
        hf_arena_reset(arena);
        HF_TRY(hf_ctx_check(ctx));
    }
    return hf_success();
}

/* One segment of the leg from *from on, or a hole of many; moves *from behind it. */
static struct hf_status check_step(struct hf_ctx *ctx, struct checking *checking, uint64_t *from)
{
    uint64_t size = checking->source.place->segment_bytes;
    uint64_t left = size - *from % size;
    uint64_t to = left < checking->leg->to - *from ? *from + left : checking->leg->to;
    uint64_t before = checking->report.objects;

    HF_TRY(check_objects(ctx, checking, *from));
    if (checking->report.objects == before) {
        HF_TRY(next_stored(ctx, checking, *from, &to));
        report_missing(ctx, checking, *from, to);
    } else {
        HF_TRY(check_cover(ctx, checking, *from, to));
    }
    *from = to;
    return hf_success();
}

static struct hf_status check_leg(struct hf_ctx *ctx, struct checking *checking,
                                  atomic_uint_fast64_t *done_bytes)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(SEGMENT_ARENA);
    struct hf_ctx sub = *ctx;

    sub.arena = arena;
    for (uint64_t from = checking->leg->from; from < checking->leg->to;) {
        uint64_t begin = from;
        struct hf_status status = check_step(&sub, checking, &from);

        if (status.code != HF_OK) {
            return hf_status_copy(ctx->arena, status);
        }
        hf_arena_reset(arena);
        HF_TRY(hf_ctx_check(ctx));
        if (done_bytes != NULL) {
            atomic_fetch_add(done_bytes, from - begin);
        }
    }
    return hf_success();
}

struct hf_status vault_wal_check(struct hf_ctx *ctx, const struct vault_wal_check_options *options,
                                 struct vault_wal_report *ret_report)
{
    struct checking checking = {.source = {options->store, options->keyring, &options->place},
                                .arena = ctx->arena};

    HF_TRY(vault_wal_place_check(ctx->arena, &options->place));
    for (size_t i = 0; i < options->path_len; i++) {
        checking.leg = &options->path[i];
        HF_TRY(check_leg(ctx, &checking, options->done_bytes));
    }
    checking.report.findings = checking.findings.items;
    checking.report.findings_len = checking.findings.len;
    *ret_report = checking.report;
    return hf_success();
}
