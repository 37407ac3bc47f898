/* Table of packs. Numbers are unique for ever, so tables never override each other: loading is
 * concatenation, and a duplicate is damage. */
#include "vault/packtable.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "codec/wire.h"
#include "vault/table_io.h"

#define REF_MIN_BYTES (2 + VAULT_ID_LEN + VAULT_HASH_LEN)
#define BLOB_REFS 4096u          /* about 220 KiB */
#define TABLE_REFS (128u * 1024) /* of one object: about 7 MiB */
#define REWRITE_FLOOR 256u       /* overlays with fewer packs do not outweigh anything */
/* Of one point: 128 TiB of whole packs, 256 MiB of memory for who reads the tables. */
#define PACKS_MAX (1u << 22)
#define LEVEL 3

void vault_packtable_add(struct vault_packtable *table, const struct vault_pack_ref *pack)
{
    if (table->len == table->cap) {
        table->cap = table->cap * 2 + 64;
        table->packs = hf_heap_grow(table->packs, table->cap * sizeof(table->packs[0]));
    }
    table->packs[table->len++] = *pack;
}

static int compare_packs(const void *a, const void *b)
{
    const struct vault_pack_ref *x = a;
    const struct vault_pack_ref *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

void vault_packtable_sort(struct vault_packtable *table)
{
    if (table->len > 1) {
        qsort(table->packs, table->len, sizeof(table->packs[0]), compare_packs);
    }
}

const struct vault_pack_ref *vault_packtable_find(const struct vault_packtable *table,
                                                  uint64_t number)
{
    struct vault_pack_ref key = {.number = number};

    if (table->len == 0) {
        return NULL;
    }
    return bsearch(&key, table->packs, table->len, sizeof(table->packs[0]), compare_packs);
}

void vault_packtable_done(struct vault_packtable *table)
{
    hf_heap_free(table->packs);
    *table = (struct vault_packtable){0};
}

void vault_packtable_encode(struct hf_buf *buf, const struct vault_pack_ref *packs, size_t len)
{
    uint64_t last = 0;

    codec_wire_put_u64(buf, len);
    for (size_t i = 0; i < len; i++) {
        codec_wire_put_u64(buf, packs[i].number - last);
        codec_wire_put_u64(buf, packs[i].size_bytes);
        codec_wire_put_raw(buf, packs[i].id, VAULT_ID_LEN);
        codec_wire_put_raw(buf, packs[i].sha256, VAULT_HASH_LEN);
        last = packs[i].number;
    }
}

struct hf_status vault_packtable_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                        struct vault_packtable *table)
{
    struct codec_wire wire = codec_wire_open(bytes.ptr, bytes.len);
    size_t len = codec_wire_get_count(&wire, VAULT_BLOB_MAX, REF_MIN_BYTES);
    uint64_t last = 0;

    for (size_t i = 0; i < len && wire.fault == NULL; i++) {
        struct vault_pack_ref ref = {0};
        uint64_t step = codec_wire_get_max(&wire, VAULT_PACK_NUMBER_MAX - last);
        ref.number = last + step;
        ref.size_bytes = codec_wire_get_u64(&wire);
        codec_wire_get_raw(&wire, ref.id, VAULT_ID_LEN);
        codec_wire_get_raw(&wire, ref.sha256, VAULT_HASH_LEN);
        if (step == 0) {
            codec_wire_fault(&wire, "pack numbers out of order");
        }
        last = ref.number;
        vault_packtable_add(table, &ref);
    }
    return codec_wire_finish(&wire, arena, "table of packs");
}

struct hf_status vault_packtable_settle(struct hf_arena *arena, const struct vault_place *place,
                                        struct vault_packtable *table)
{
    vault_packtable_sort(table);
    for (size_t i = 1; i < table->len; i++) {
        if (table->packs[i - 1].number == table->packs[i].number) {
            return hf_fail(arena, HF_DATA_LOSS, "%s: pack %llu is listed twice", place->prefix,
                           (unsigned long long)table->packs[i].number);
        }
    }
    return hf_success();
}

struct hf_status vault_packtable_read(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *ref,
                                      struct vault_packtable *table)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    const char *name = vault_name_table(ctx->arena, place->prefix, ref->id);
    struct vault_pack pack;
    struct hf_bytes plain;

    HF_TRY(vault_table_open(ctx, place, VAULT_PACK_TABLE, name, ref, &pack));
    for (size_t i = 0; i < pack.blobs_len; i++) {
        HF_TRY(vault_blob_read(ctx, place->store, place->keyring, &pack, i, false, reader, &plain));
        struct hf_status status = vault_packtable_decode(ctx->arena, plain, table);
        HF_TRY(hf_wrap(ctx->arena, status, "%s", name));
        HF_TRY(hf_ctx_check(ctx));
        if (table->len > PACKS_MAX) {
            return hf_fail(ctx->arena, HF_DATA_LOSS, "%s: the tables list more than %u packs", name,
                           PACKS_MAX);
        }
    }
    return hf_success();
}

struct hf_status vault_packtable_load(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *refs, size_t len,
                                      struct vault_packtable *table)
{
    for (size_t i = 0; i < len; i++) {
        HF_TRY(vault_packtable_read(ctx, place, &refs[i], table));
    }
    return vault_packtable_settle(ctx->arena, place, table);
}

static struct hf_status write_one(struct hf_ctx *ctx, const struct vault_packtable_grow *in,
                                  const struct vault_pack_ref *packs, size_t len,
                                  struct vault_table_ref *ret_ref)
{
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *pack = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_TABLE, .capacity_bytes = VAULT_PACK_MAX, .level = LEVEL};
    struct vault_table_ref ref = {.entries = len};

    hf_buf_init(&buf, VAULT_BLOB_MAX);
    HF_TRY(vault_pack_writer_new(ctx, in->place->keyring, &options, &pack));
    for (size_t i = 0; i < len; i += BLOB_REFS) {
        hf_buf_clear(&buf);
        vault_packtable_encode(&buf, packs + i, len - i < BLOB_REFS ? len - i : BLOB_REFS);
        HF_TRY(hf_buf_status(&buf, ctx->arena, "table of packs"));
        HF_TRY(vault_pack_add(ctx, pack, in->place->keyring, VAULT_BLOB_BYTES,
                              (struct hf_bytes){buf.ptr, buf.len}));
        ref.plain_bytes += buf.len;
    }
    const char *name = vault_name_table(ctx->arena, in->place->prefix, vault_pack_writer_id(pack));
    HF_TRY(vault_table_put(ctx, in->place, pack, name, &ref));
    in->wrote(in->arg, &ref);
    *ret_ref = ref;
    return hf_success();
}

static bool must_rewrite(const struct vault_packtable_grow *in)
{
    uint64_t overlay = in->fresh->len;
    size_t tables = in->old_len + (in->fresh->len > 0);

    for (size_t i = 1; i < in->old_len; i++) {
        overlay += in->old[i].entries;
    }
    return in->old_len > 0 && (tables > VAULT_OVERLAYS_MAX + 1 ||
                               (overlay > REWRITE_FLOOR && overlay > in->old[0].entries));
}

/* Everything that is still used, in new tables. */
static struct hf_status rewrite(struct hf_ctx *ctx, const struct vault_packtable_grow *in,
                                struct vault_table_ref **ret_refs, size_t *ret_len)
{
    HF_CLEANUP(vault_packtable_done) struct vault_packtable all = {0};
    HF_VEC(struct vault_table_ref) refs = {0};
    size_t kept = 0;

    HF_TRY(vault_packtable_load(ctx, in->place, in->old, in->old_len, &all));
    for (size_t i = 0; i < in->fresh->len; i++) {
        vault_packtable_add(&all, &in->fresh->packs[i]);
    }
    vault_packtable_sort(&all);
    for (size_t i = 0; i < all.len; i++) {
        if (vault_bits_test(in->used, all.packs[i].number)) {
            all.packs[kept++] = all.packs[i];
        }
    }
    for (size_t i = 0; i < kept; i += TABLE_REFS) {
        size_t len = kept - i < TABLE_REFS ? kept - i : TABLE_REFS;
        HF_TRY(write_one(ctx, in, all.packs + i, len, HF_VEC_ADD(ctx->arena, &refs)));
    }
    *ret_refs = refs.items;
    *ret_len = refs.len;
    return hf_success();
}

struct hf_status vault_packtable_grow(struct hf_ctx *ctx, const struct vault_packtable_grow *in,
                                      struct vault_table_ref **ret_refs, size_t *ret_len)
{
    HF_VEC(struct vault_table_ref) refs = {0};

    if (must_rewrite(in)) {
        return rewrite(ctx, in, ret_refs, ret_len);
    }
    for (size_t i = 0; i < in->old_len; i++) {
        *HF_VEC_ADD(ctx->arena, &refs) = in->old[i];
    }
    for (size_t i = 0; i < in->fresh->len; i += TABLE_REFS) {
        size_t len = in->fresh->len - i < TABLE_REFS ? in->fresh->len - i : TABLE_REFS;
        HF_TRY(write_one(ctx, in, in->fresh->packs + i, len, HF_VEC_ADD(ctx->arena, &refs)));
    }
    *ret_refs = refs.items;
    *ret_len = refs.len;
    return hf_success();
}
