/* Sealing of lies, the table of those about a point, and how an answer to one is judged. */
#include "tests/unit/libs/vault/keyed.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "vault/pack_format.h"

#define ZSTD_BLOCK (128u << 10)
#define CALL_US ((HF_HAS_ASAN ? 120 : 20) * HF_US_PER_S)

uint64_t keyed_setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

void keyed_init(struct keyed *k, struct fixture *f)
{
    static const char *const paths[] = {"PG_VERSION", "base/1/1259", "base/1/1255",
                                        "global/pg_control"};

    memset(k, 0, sizeof(*k));
    k->f = f;
    k->seed = keyed_setting("HOLDFAST_HOSTILE_SEED", 7) * 2654435761u + 1;
    source_init(&k->s, f);
    source_add(&k->s, "base", 0)->node = VAULT_NODE_DIR;
    source_add(&k->s, "base/1", 0)->node = VAULT_NODE_DIR;
    source_add(&k->s, "global", 0)->node = VAULT_NODE_DIR;
    for (size_t i = 0; i < HF_LEN(paths); i++) {
        source_add(&k->s, paths[i], i == 0 ? 3 : 100000 * i);
    }
    source_backup(&k->s);
    k->prefix = FIXTURE_SOURCE;
    k->point = k->s.result.info;
    k->honest = k->s.root;
}

struct keyed_call keyed_begin(const char *what)
{
    return (struct keyed_call){what, hf_now_us()};
}

void keyed_end(struct keyed_call call, struct hf_status status)
{
    int64_t took_us = hf_now_us() - call.began_us;

    if (took_us > CALL_US) {
        fail_msg("%s took %" PRId64 " ms", call.what, took_us / 1000);
    }
    if (!hf_is_ok(status) && (status.message == NULL || status.message[0] == '\0')) {
        fail_msg("%s: %s without a message", call.what, hf_code_name(status.code));
    }
    if (status.code == HF_INTERNAL || status.code == HF_UNKNOWN) {
        fail_msg("%s: %s: %s", call.what, hf_code_name(status.code), status.message);
    }
}

void keyed_names(struct hf_status status, const char *object)
{
    if (hf_is_ok(status) || strstr(status.message, object) == NULL) {
        fail_msg("not named: %s: %s", object, hf_is_ok(status) ? "OK" : status.message);
    }
}

void keyed_memory(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    if (!HF_HAS_ASAN && usage.ru_maxrss > KEYED_MEMORY_KIB) {
        fail_msg("%ld KiB of memory were needed, %ld are allowed", usage.ru_maxrss,
                 KEYED_MEMORY_KIB);
    }
}

int keyed_setup(void **state)
{
    return fixture_setup_in(state, "/dev/shm");
}

struct keyed_blob keyed_raw(struct hf_bytes plain)
{
    return (struct keyed_blob){VAULT_BLOB_BYTES, VAULT_CODEC_RAW, (uint32_t)plain.len, plain};
}

struct keyed_blob keyed_bomb(struct keyed *k, uint64_t claim, size_t blocks, uint32_t plain_len)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    uint8_t *bytes = hf_alloc(k->f->ctx.arena, 16 + blocks * 4);
    size_t len = sizeof(magic);

    memcpy(bytes, magic, sizeof(magic));
    if (claim == UINT64_MAX) {
        bytes[len++] = 0;    /* no size of contents … */
        bytes[len++] = 0xa8; /* … and a window of 2 GiB */
    } else {
        bytes[len++] = 0xe0; /* eight bytes of it, one segment */
        for (unsigned i = 0; i < 8; i++) {
            bytes[len++] = (uint8_t)(claim >> (8 * i));
        }
    }
    for (size_t i = 0; i < blocks; i++) { /* the same byte, 128 KiB times */
        uint32_t head = ZSTD_BLOCK << 3 | 1u << 1 | (i + 1 == blocks);

        bytes[len++] = (uint8_t)head;
        bytes[len++] = (uint8_t)(head >> 8);
        bytes[len++] = (uint8_t)(head >> 16);
        bytes[len++] = 0;
    }
    return (struct keyed_blob){VAULT_BLOB_BYTES, VAULT_CODEC_ZSTD, plain_len, {bytes, len}};
}

static void add(struct keyed *k, struct vault_pack_writer *writer, const struct keyed_blob *blob)
{
    static const uint8_t no_digests[VAULT_BLOB_PAGES * VAULT_DIGEST_LEN];
    struct vault_blob_in in = {.type = blob->type,
                               .codec = blob->codec,
                               .plain_len = blob->plain_len,
                               .coded = blob->coded};
    struct vault_slot slot = {0};

    if (blob->type == VAULT_BLOB_PAGES_TYPE) {
        in.pages = blob->plain_len / VAULT_PAGE;
        in.digests = no_digests;
    }
    vault_blob_id(k->f->keyring, in.type, blob->coded, in.id);
    assert_true(vault_pack_reserve(writer, &in, &slot));
    vault_pack_seal(writer, &in, slot);
}

static const char *name_of(struct keyed *k, enum vault_pack_kind kind, const uint8_t *id)
{
    struct hf_arena *arena = k->f->ctx.arena;

    switch ((int)kind) {
    case VAULT_PACK_MAP:
        return vault_name_map(arena, k->prefix, id);
    case VAULT_PACK_TABLE:
        return vault_name_table(arena, k->prefix, id);
    default:
        return vault_name_pack(arena, k->prefix, 1, id);
    }
}

void keyed_put(struct keyed *k, enum vault_pack_kind kind, const struct keyed_blob *blobs,
               size_t len, size_t times, struct vault_table_ref *ret_ref)
{
    struct fixture *f = k->f;
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    const struct vault_pack_options options = {
        .kind = kind, .number = kind == VAULT_PACK_DATA, .capacity_bytes = VAULT_PACK_HARD_MAX};
    struct hf_bytes bytes = {NULL, 0};

    assert_ok(vault_pack_writer_new(&f->ctx, f->keyring, &options, &writer));
    for (size_t i = 0; i < len * times; i++) {
        add(k, writer, &blobs[i % len]);
    }
    *ret_ref = (struct vault_table_ref){.plain_bytes = 1, .entries = 1};
    memcpy(ret_ref->id, vault_pack_writer_id(writer), VAULT_ID_LEN);
    vault_pack_finish(writer, &bytes, ret_ref->sha256);
    ret_ref->size_bytes = bytes.len;
    assert_ok(objstore_put(&f->ctx, f->store, name_of(k, kind, ret_ref->id), bytes));
}

void keyed_put_as(struct keyed *k, const struct vault_pack_options *options, const char *name,
                  const struct keyed_blob *blob, size_t times)
{
    struct fixture *f = k->f;
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    struct vault_pack_options own = *options;
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];

    own.capacity_bytes = VAULT_PACK_HARD_MAX;
    assert_ok(vault_pack_writer_new(&f->ctx, f->keyring, &own, &writer));
    for (size_t i = 0; i < times; i++) {
        add(k, writer, blob);
    }
    vault_pack_finish(writer, &bytes, hash);
    assert_ok(objstore_put(&f->ctx, f->store, name, bytes));
}

struct vault_point_info keyed_root(struct keyed *k, struct vault_root *root)
{
    const struct vault_place place = {k->f->store, k->f->keyring, k->prefix};
    struct vault_point_info point = k->point;
    uint64_t size = 0;

    root->info.id =
        hf_printf(k->f->ctx.arena, "k%016llx", (unsigned long long)keyed_pick(k, UINT64_MAX));
    assert_ok(vault_root_write(&k->f->ctx, &place, root, &size));
    point.id = root->info.id;
    point.root = root->info.root;
    memcpy(point.root_sha256, root->info.root_sha256, VAULT_HASH_LEN);
    return point;
}

struct hf_bytes keyed_mutate(struct keyed *k, struct hf_bytes plain)
{
    static const uint8_t wide[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    uint8_t *bytes = hf_alloc(k->f->ctx.arena, plain.len + sizeof(wide));
    size_t len = plain.len;

    memcpy(bytes, plain.ptr, len);
    for (uint64_t i = 1 + keyed_pick(k, 4); i > 0 && len > 1; i--) {
        size_t at = (size_t)keyed_pick(k, len);

        switch (keyed_pick(k, 5)) {
        case 0:
            bytes[at] = (uint8_t)keyed_pick(k, 256);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << keyed_pick(k, 8));
            break;
        case 2: /* the greatest number, where something was */
            memcpy(bytes + at, wide, len - at < sizeof(wide) ? len - at : sizeof(wide));
            break;
        case 3:
            len = at + 1;
            break;
        default:
            memmove(bytes + at, bytes + keyed_pick(k, at + 1), len - at);
        }
    }
    return (struct hf_bytes){bytes, len};
}

/* --- lies about a point ----------------------------------------------------------------------- */

/* All blobs of a table that the honest root names, one of them changed. */
static void lie_table(struct keyed *k, enum vault_pack_kind kind, struct vault_table_ref *ref)
{
    struct fixture *f = k->f;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct vault_pack pack = {.pages = 0};
    struct keyed_blob *blobs;
    size_t changed;

    if (!hf_is_ok(
            vault_pack_open(&f->ctx, f->store, f->keyring, name_of(k, kind, ref->id), &pack))) {
        return; /* a lie already */
    }
    blobs = HF_NEW_N(f->ctx.arena, struct keyed_blob, pack.blobs_len);
    changed = (size_t)keyed_pick(k, pack.blobs_len);
    for (size_t i = 0; i < pack.blobs_len; i++) {
        struct hf_bytes plain = {NULL, 0};

        if (!hf_is_ok(
                vault_blob_read(&f->ctx, f->store, f->keyring, &pack, i, false, reader, &plain))) {
            return;
        }
        plain.ptr = hf_dup(f->ctx.arena, plain.ptr, plain.len);
        blobs[i] = keyed_raw(i == changed ? keyed_mutate(k, plain) : plain);
    }
    keyed_put(k, kind, blobs, pack.blobs_len, 1 + (keyed_pick(k, 8) == 0), ref);
}

static void lie_map(struct keyed *k, struct vault_root *root)
{
    lie_table(k, VAULT_PACK_MAP, &root->map.tables[keyed_pick(k, root->map.tables_len)]);
}

static void lie_packs(struct keyed *k, struct vault_root *root)
{
    lie_table(k, VAULT_PACK_TABLE, &root->pack_tables[keyed_pick(k, root->pack_tables_len)]);
}

static void lie_counts(struct keyed *k, struct vault_root *root)
{
    uint64_t *const fields[] = {&root->info.start_lsn,
                                &root->info.stop_lsn,
                                &root->info.source_bytes,
                                &root->info.changed_bytes,
                                &root->info.stored_bytes,
                                &root->info.files,
                                &root->map.tables[0].size_bytes,
                                &root->map.tables[0].plain_bytes,
                                &root->map.tables[0].entries,
                                &root->pack_tables[0].size_bytes,
                                &root->map.shards[0].shares[0].bytes};

    *fields[keyed_pick(k, HF_LEN(fields))] = keyed_number(k);
    root->info.start_time_us = (int64_t)keyed_number(k);
    root->info.stop_time_us = (int64_t)keyed_number(k);
    root->info.timeline = (uint32_t)keyed_number(k);
}

/* Shards whose ranges and tables overlap. */
static void lie_shards(struct keyed *k, struct vault_root *root)
{
    struct hf_arena *arena = k->f->ctx.arena;
    size_t len = 1 + (size_t)keyed_pick(k, 64);
    size_t shares = 1 + (size_t)keyed_pick(k, 65);
    struct vault_shard *shards = HF_NEW_N(arena, struct vault_shard, len);

    for (size_t i = 0; i < len; i++) {
        vault_put_be32(shards[i].first_key, (uint32_t)(i * (UINT32_MAX / len)));
        shards[i].shares = HF_NEW_N(arena, struct vault_share, shares);
        shards[i].shares_len = shares;
        for (size_t n = 0; n < shares; n++) {
            shards[i].shares[n].bytes = keyed_number(k);
            shards[i].shares[n].table = (uint32_t)keyed_pick(k, root->map.tables_len);
        }
    }
    root->map.shards = shards;
    root->map.shards_len = len;
}

/* Objects named twice, or one for another. */
static void lie_refs(struct keyed *k, struct vault_root *root)
{
    struct hf_arena *arena = k->f->ctx.arena;
    struct vault_table_ref *refs = HF_NEW_N(arena, struct vault_table_ref, 2);

    refs[0] = root->map.tables[0];
    refs[1] = keyed_pick(k, 2) == 0 ? root->map.tables[0] : root->pack_tables[0];
    if (keyed_pick(k, 2) == 0) {
        root->map.tables = refs;
        root->map.tables_len = 2;
    } else {
        root->pack_tables = refs;
        root->pack_tables_len = 2;
    }
}

static void lie_used(struct keyed *k, struct vault_root *root)
{
    uint8_t *bits = hf_alloc(k->f->ctx.arena, 4096);

    memset(bits, keyed_pick(k, 2) == 0 ? 0 : 0xff, 4096);
    root->used = (struct hf_bytes){bits, (size_t)keyed_pick(k, 4096)};
    root->used_first = keyed_pick(k, 2) == 0 ? 0 : (UINT64_C(1) << 26) - 8 * (root->used.len + 1);
    root->next_pack = keyed_pick(k, UINT64_C(1) << 26);
}

/* A bomb where a table or a pack was. */
static void lie_bomb(struct keyed *k, struct vault_root *root)
{
    const uint64_t claims[] = {0, 1, 8192, UINT64_C(4) << 30, UINT64_MAX - 1, UINT64_MAX};
    const struct keyed_blob bomb = keyed_bomb(k, claims[keyed_pick(k, HF_LEN(claims))],
                                              keyed_pick(k, 2) == 0 ? 32 : 32768, 1u << 22);
    bool is_map = keyed_pick(k, 2) == 0;

    keyed_put(k, is_map ? VAULT_PACK_MAP : VAULT_PACK_TABLE, &bomb, 1, 1 + keyed_pick(k, 64),
              is_map ? &root->map.tables[0] : &root->pack_tables[0]);
}

static void (*const lies[])(struct keyed *k, struct vault_root *root) = {
    lie_map,    lie_map,    lie_map,  lie_packs, lie_packs,
    lie_counts, lie_shards, lie_refs, lie_used,  lie_bomb};

struct vault_root keyed_copy(struct keyed *k, struct hf_arena *arena)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct vault_root root;

    hf_buf_init(&buf, VAULT_ROOT_MAX);
    vault_root_encode(&buf, &k->honest);
    assert_ok(vault_root_decode(arena, (struct hf_bytes){buf.ptr, buf.len}, &root));
    return root;
}

void keyed_lie(struct keyed *k, struct vault_root *root)
{
    lies[keyed_pick(k, HF_LEN(lies))](k, root);
}
