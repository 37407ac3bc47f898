/* Verification of one point: the root leads to all objects, threads recompute each of them, then
 * the map is walked. Damage is collected; only what makes an answer impossible ends it. */
#include "vault/verify.h"

#include <string.h>

#include "base/check.h"
#include "base/vec.h"
#include "codec/hash.h"
#include "vault/fault.h"
#include "vault/packtable.h"
#include "vault/table_io.h"

#define THREAD_ARENA_MAX (128u << 20)
#define ROOT_ARENA_MAX ((size_t)1 << 30)
#define PAGES_UNKNOWN UINT32_MAX

struct object {
    const char *name;
    enum vault_pack_kind kind;
    struct vault_table_ref ref;
    uint32_t *pages; /* data packs: set to the number of pages, for the walk over the map */
};

struct verify {
    const struct vault_verify_options *options;
    struct hf_ctx base;
    struct vault_verify_progress own_progress;
    struct vault_verify_progress *progress;
    struct vault_root root;
    struct vault_packtable packs;
    uint32_t *pack_pages; /* per pack of the table */
    HF_VEC(struct object) objects;
    atomic_size_t next_object;
    struct vault_fault fault;
    bool is_deep; /* the keyring can digest */

    struct hf_lock lock; /* guards the report and its arena */
    struct hf_arena *arena;
    HF_VEC(struct vault_finding) findings;
    struct vault_verify_report report;
};

/* INTERNAL is what an unreadable sector looks like (EIO). */
static bool is_damage(struct hf_status status)
{
    return status.code == HF_DATA_LOSS || status.code == HF_NOT_FOUND ||
           status.code == HF_OUT_OF_RANGE || status.code == HF_INTERNAL;
}

static void find(struct verify *verify, const char *object, const char *what, uint64_t offset)
{
    hf_lock_take(&verify->lock);
    verify->report.findings_total++;
    if (verify->findings.len < VAULT_FINDINGS_MAX) {
        *HF_VEC_ADD(verify->arena, &verify->findings) = (struct vault_finding){
            hf_strdup(verify->arena, object), hf_strdup(verify->arena, what), offset};
    }
    hf_lock_release(&verify->lock);
}

/* Damage becomes a finding, anything else stays a failure. */
static struct hf_status note(struct verify *verify, struct hf_status status, const char *object,
                             uint64_t offset)
{
    if (hf_is_ok(status) || !is_damage(status)) {
        return status;
    }
    find(verify, object, status.code == HF_NOT_FOUND ? "is missing" : status.message, offset);
    return hf_success();
}

/* --- objects ------------------------------------------------------------------------------- */

struct checker {
    struct verify *verify;
    struct hf_arena *arena;
    struct vault_blob_reader *blobs;
    uint8_t *bytes; /* heap: the object */
    size_t bytes_cap;
    struct hf_thread *thread;
};

/* Every record of an opened object. *ret_faults counts the damaged ones. */
static struct hf_status check_blobs(struct hf_ctx *ctx, struct checker *checker,
                                    const struct vault_pack *pack, struct hf_bytes bytes,
                                    size_t *ret_faults)
{
    struct verify *verify = checker->verify;
    struct hf_bytes plain;

    for (size_t i = 0; i < pack->blobs_len; i++) {
        const struct vault_blob_info *blob = &pack->blobs[i];
        HF_TRY(vault_fault_check(ctx, &verify->fault));
        HF_CHECK(blob->offset + blob->sealed_len <= bytes.len);
        struct hf_bytes sealed = {bytes.ptr + blob->offset, blob->sealed_len};
        struct hf_status status = vault_blob_open(ctx, verify->options->place.keyring, pack, i,
                                                  verify->is_deep, sealed, checker->blobs, &plain);
        *ret_faults += is_damage(status);
        HF_TRY(note(verify, status, pack->name, blob->offset));
    }
    return hf_success();
}

static struct hf_status check_bytes(struct hf_ctx *ctx, struct checker *checker,
                                    const struct object *object, struct hf_bytes bytes)
{
    struct verify *verify = checker->verify;
    struct vault_pack pack;
    uint8_t hash[VAULT_HASH_LEN];
    size_t faults = 0;

    struct hf_status status =
        vault_pack_open_bytes(ctx, verify->options->place.keyring, object->name, bytes, &pack);
    codec_sha256(bytes.ptr, bytes.len, hash);
    bool is_same = memcmp(hash, object->ref.sha256, VAULT_HASH_LEN) == 0;
    if (!hf_is_ok(status)) {
        /* A flipped bit may look like another key or a newer format: the hash tells. */
        if (!is_same) {
            find(verify, object->name, status.message, 0);
            return hf_success();
        }
        return note(verify, status, object->name, 0);
    }
    HF_TRY(check_blobs(ctx, checker, &pack, bytes, &faults));
    if (!is_same && faults == 0) {
        find(verify, object->name, "SHA-256 is not the one in the root", 0);
    }
    if (pack.header.kind != object->kind ||
        memcmp(pack.header.id, object->ref.id, VAULT_ID_LEN) != 0) {
        find(verify, object->name, "is another object under this name", 0);
        return hf_success();
    }
    if (object->pages != NULL) {
        *object->pages = pack.pages;
    }
    return hf_success();
}

static struct hf_status check_object(struct hf_ctx *ctx, struct checker *checker,
                                     const struct object *object)
{
    struct verify *verify = checker->verify;
    struct objstore *store = verify->options->place.store;
    uint64_t size = 0;

    struct hf_status status = objstore_head(ctx, store, object->name, &size);
    if (!hf_is_ok(status)) {
        return note(verify, status, object->name, 0);
    }
    if (size != object->ref.size_bytes || size > VAULT_PACK_HARD_MAX) {
        find(verify, object->name,
             hf_printf(ctx->arena, "has %llu bytes, the root says %llu", (unsigned long long)size,
                       (unsigned long long)object->ref.size_bytes),
             size);
        return hf_success();
    }
    if (size > checker->bytes_cap) {
        hf_heap_free(checker->bytes);
        checker->bytes = hf_heap_alloc((size_t)size);
        checker->bytes_cap = (size_t)size;
    }
    status = objstore_read(ctx, store, object->name, 0, (size_t)size, checker->bytes);
    if (!hf_is_ok(status)) {
        return note(verify, status, object->name, 0);
    }
    return check_bytes(ctx, checker, object, (struct hf_bytes){checker->bytes, (size_t)size});
}

static void checker_main(void *arg)
{
    struct checker *checker = arg;
    struct verify *verify = checker->verify;
    struct hf_ctx ctx = verify->base;

    ctx.arena = checker->arena;
    while (!vault_fault_is_set(&verify->fault)) {
        size_t at = atomic_fetch_add(&verify->next_object, 1);
        if (at >= verify->objects.len) {
            return;
        }
        const struct object *object = &verify->objects.items[at];
        hf_arena_reset(checker->arena);
        vault_fault_set(&verify->fault, check_object(&ctx, checker, object));
        atomic_fetch_add(&verify->progress->bytes_done, object->ref.size_bytes);
        atomic_fetch_add(&verify->progress->packs_done, object->kind == VAULT_PACK_DATA);
    }
}

static struct hf_status check_objects(struct hf_ctx *ctx, struct verify *verify)
{
    unsigned threads = vault_threads(verify->options->threads);
    struct checker *checkers = hf_heap_alloc(threads * sizeof(checkers[0]));

    for (unsigned i = 0; i < threads; i++) {
        checkers[i].verify = verify;
        checkers[i].arena = hf_arena_new(THREAD_ARENA_MAX);
        checkers[i].blobs = vault_blob_reader_new();
        checkers[i].thread = hf_thread_try("vault-verify", checker_main, &checkers[i]);
    }
    if (checkers[0].thread == NULL) { /* the system gives no thread: this one does it alone */
        checker_main(&checkers[0]);
    }
    for (unsigned i = 0; i < threads; i++) {
        hf_thread_join(checkers[i].thread);
        hf_heap_free(checkers[i].bytes);
        vault_blob_reader_free(checkers[i].blobs);
        hf_arena_free(checkers[i].arena);
    }
    hf_heap_free(checkers);
    return vault_fault_check(ctx, &verify->fault);
}

static void object_add(struct hf_ctx *ctx, struct verify *verify, const struct object *object)
{
    *HF_VEC_ADD(ctx->arena, &verify->objects) = *object;
    verify->report.objects++;
    verify->report.bytes += object->ref.size_bytes;
    atomic_fetch_add(&verify->progress->bytes_total, object->ref.size_bytes);
}

static void list_tables(struct hf_ctx *ctx, struct verify *verify)
{
    const struct vault_root *root = &verify->root;
    const char *prefix = verify->options->place.prefix;

    for (size_t i = 0; i < root->map.tables_len; i++) {
        const struct vault_table_ref *ref = &root->map.tables[i];
        object_add(ctx, verify,
                   &(struct object){vault_name_map(ctx->arena, prefix, ref->id), VAULT_PACK_MAP,
                                    *ref, NULL});
    }
    for (size_t i = 0; i < root->pack_tables_len; i++) {
        const struct vault_table_ref *ref = &root->pack_tables[i];
        object_add(ctx, verify,
                   &(struct object){vault_name_table(ctx->arena, prefix, ref->id), VAULT_PACK_TABLE,
                                    *ref, NULL});
    }
}

/* Packs that the root uses; table by table, as one may be damaged. */
static struct hf_status list_packs(struct hf_ctx *ctx, struct verify *verify)
{
    const struct vault_root *root = &verify->root;
    const struct vault_place *place = &verify->options->place;

    for (size_t i = 0; i < root->pack_tables_len; i++) {
        const struct vault_table_ref *ref = &root->pack_tables[i];

        HF_TRY(note(verify, vault_packtable_read(ctx, place, ref, &verify->packs),
                    vault_name_table(ctx->arena, place->prefix, ref->id), 0));
    }
    HF_TRY(note(verify, vault_packtable_settle(ctx->arena, place, &verify->packs),
                verify->options->point->root, 0));
    verify->pack_pages = hf_heap_alloc((verify->packs.len + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < verify->packs.len; i++) {
        const struct vault_pack_ref *pack = &verify->packs.packs[i];
        verify->pack_pages[i] = PAGES_UNKNOWN;
        if (!vault_root_uses_pack(root, pack->number)) {
            continue;
        }
        struct object object = {
            .name = vault_name_pack(ctx->arena, place->prefix, pack->number, pack->id),
            .kind = VAULT_PACK_DATA,
            .ref = {.size_bytes = pack->size_bytes},
            .pages = &verify->pack_pages[i],
        };
        memcpy(object.ref.id, pack->id, VAULT_ID_LEN);
        memcpy(object.ref.sha256, pack->sha256, VAULT_HASH_LEN);
        object_add(ctx, verify, &object);
    }
    return hf_success();
}

/* --- the map ------------------------------------------------------------------------------- */

struct walk {
    struct verify *verify;
    uint64_t missing; /* pages of the current file not seen yet */
    char name[VAULT_PATH_MAX + 8];
};

static void file_end(struct walk *walk)
{
    if (walk->missing > 0) {
        find(walk->verify, walk->name, "has pages that the map does not cover", 0);
    }
    walk->missing = 0;
}

static void check_run(struct walk *walk, const struct vault_run *run)
{
    struct verify *verify = walk->verify;
    const struct vault_pack_ref *pack = vault_packtable_find(&verify->packs, run->pack);
    uint64_t offset = (uint64_t)run->first_page * VAULT_PAGE;

    walk->missing -= run->count;
    verify->report.pages += run->count;
    if (!vault_root_uses_pack(&verify->root, run->pack)) {
        find(verify, walk->name, "has a page in a pack that the root does not use", offset);
        return;
    }
    if (pack == NULL) {
        find(verify, walk->name, "has a page in a pack that no table lists", offset);
        return;
    }
    uint32_t pages = verify->pack_pages[pack - verify->packs.packs];
    if (pages != PAGES_UNKNOWN && (uint64_t)run->ordinal + run->count > pages) {
        find(verify, walk->name, "has a page beyond the end of its pack", offset);
    }
}

/* An entry under the key of another path could be a second one of the same name. */
static void check_key(struct walk *walk, const struct vault_map_entry *entry)
{
    const struct verify *verify = walk->verify;
    uint8_t key[VAULT_ID_LEN];

    if (!verify->is_deep) {
        return;
    }
    vault_path_key(verify->options->place.keyring, entry->attrs.path, key);
    if (memcmp(key, entry->key, VAULT_ID_LEN) != 0) {
        find(walk->verify, walk->name, "is listed under the key of another path", 0);
    }
}

static void check_entry(struct walk *walk, const struct vault_map_entry *entry)
{
    if (entry->segment == 0) {
        file_end(walk);
        size_t len = strlen(entry->attrs.path);
        memcpy(walk->name, "file ", 5);
        memcpy(walk->name + 5, entry->attrs.path, len + 1);
        if (entry->attrs.node == VAULT_NODE_FILE) {
            walk->missing = vault_pages_of(entry->attrs.size_bytes);
            walk->verify->report.files++;
        }
        check_key(walk, entry);
    }
    for (size_t i = 0; i < entry->runs_len; i++) {
        check_run(walk, &entry->runs[i]);
    }
}

static struct hf_status walk_shard(struct hf_ctx *ctx, struct walk *walk, size_t shard)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_entry *entry = NULL;

    HF_TRY(vault_map_iter_new(ctx, &walk->verify->options->place, &walk->verify->root.map, shard, 1,
                              &iter));
    do {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL) {
            check_entry(walk, entry);
        }
    } while (entry != NULL);
    file_end(walk);
    return hf_success();
}

static struct hf_status walk_map(struct hf_ctx *ctx, struct verify *verify)
{
    struct walk *walk = hf_alloc(ctx->arena, sizeof(*walk));

    walk->verify = verify;
    for (size_t i = 0; i < verify->root.map.shards_len; i++) {
        struct hf_status status = walk_shard(ctx, walk, i);
        walk->missing = 0; /* of a file cut off by damage, which is a finding by itself */
        const char *object = hf_printf(ctx->arena, "map shard %zu", i);
        HF_TRY(note(verify, status, object, 0));
    }
    return hf_success();
}

/* --- the whole ----------------------------------------------------------------------------- */

static struct hf_status verify_all(struct hf_ctx *ctx, struct verify *verify)
{
    const struct vault_place *place = &verify->options->place;
    const struct vault_point_info *point = verify->options->point;

    verify->report.objects = 1;
    struct hf_status status =
        vault_root_open(ctx, place, point->root, point->root_sha256, &verify->root);
    if (!hf_is_ok(status)) {
        return note(verify, status, point->root, 0);
    }
    list_tables(ctx, verify);
    HF_TRY(list_packs(ctx, verify));
    HF_TRY(check_objects(ctx, verify));
    return walk_map(ctx, verify);
}

struct hf_status vault_verify(struct hf_ctx *ctx, const struct vault_verify_options *options,
                              struct vault_verify_report *ret_report)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ROOT_ARENA_MAX);
    struct verify *verify = hf_heap_alloc(sizeof(*verify));
    struct hf_ctx own = *ctx;

    own.arena = arena;
    verify->options = options;
    verify->base = *ctx;
    verify->base.arena = NULL;
    verify->progress = options->progress != NULL ? options->progress : &verify->own_progress;
    verify->is_deep = vault_keyring_can_digest(options->place.keyring);
    verify->arena = ctx->arena;
    hf_lock_init(&verify->lock);
    vault_fault_init(&verify->fault);
    struct hf_status status = hf_status_copy(ctx->arena, verify_all(&own, verify));
    if (hf_is_ok(status)) {
        verify->report.findings = verify->findings.items;
        verify->report.findings_len = verify->findings.len;
        *ret_report = verify->report;
    }
    vault_packtable_done(&verify->packs);
    hf_heap_free(verify->pack_pages);
    vault_fault_done(&verify->fault);
    hf_lock_done(&verify->lock);
    hf_heap_free(verify);
    return status;
}
