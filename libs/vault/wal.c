/* Names of WAL objects, and history files.
 *
 * Surprise: a name is only accepted when its numbers agree with each other (a slice lies inside its
 * segment), so that a listing can be trusted for ranges without opening closed objects.
 */
#include "vault/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "vault/wal_seal.h"
#include "vault/wal_slice.h"

static bool lineage_ok(const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);

    if (len == 0 || len > 100 || text[0] == '-') {
        return false;
    }
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

struct hf_status vault_wal_place_check(struct hf_arena *arena, const struct vault_wal_place *place)
{
    uint64_t size = place->segment_bytes;

    if (place->prefix == NULL || !objstore_is_name(place->prefix) || strlen(place->prefix) > 300) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "prefix of the source is not an object name");
    }
    if (!lineage_ok(place->lineage)) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "lineage must be [a-z0-9-]+, at most 100 long");
    }
    if (size < VAULT_WAL_SEGMENT_MIN || size > VAULT_WAL_SEGMENT_MAX || (size & (size - 1)) != 0) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "WAL segment size %" PRIu64 " is not a power of two from 1 MiB to 1 GiB",
                       size);
    }
    return hf_success();
}

char *vault_wal_lsn_text(struct hf_arena *arena, uint64_t lsn)
{
    return hf_printf(arena, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
}

bool vault_wal_is_conflict(struct hf_status status)
{
    return status.code == HF_FAILED_PRECONDITION && status.info != NULL &&
           hf_text_equal(status.info->reason, VAULT_WAL_CONFLICT);
}

char *vault_wal_name_format(struct hf_arena *arena, const struct vault_wal_place *place,
                            const struct vault_wal_name *name)
{
    char *text = NULL;

    HF_CHECK(hf_is_ok(vault_wal_place_check(arena, place)));
    switch (name->kind) {
    case VAULT_WAL_CLOSED:
        text = hf_printf(arena, "%s/wal/%s/%08" PRIx32 "/%016" PRIx64 "/%016" PRIx64 "-%016" PRIx64,
                         place->prefix, place->lineage, name->timeline, name->segno, name->from,
                         name->to);
        break;
    case VAULT_WAL_GROWING:
        text = hf_printf(
            arena, "%s/wal/%s/%08" PRIx32 "/%016" PRIx64 "/%016" PRIx64 "-open-%08" PRIx32,
            place->prefix, place->lineage, name->timeline, name->segno, name->from, name->tag);
        break;
    case VAULT_WAL_HISTORY:
        text = hf_printf(arena, "%s/wal/%s/history/%08" PRIx32, place->prefix, place->lineage,
                         name->timeline);
        break;
    }
    HF_CHECK(text != NULL && strlen(text) < VAULT_WAL_NAME_MAX);
    return text;
}

/* Exactly digits lower-case hex digits at *text, which moves behind them. */
static bool take_hex(const char **text, int digits, uint64_t *ret)
{
    uint64_t value = 0;

    for (int i = 0; i < digits; i++) {
        char c = (*text)[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *text += digits;
    *ret = value;
    return true;
}

static bool take_text(const char **text, const char *expected)
{
    if (!hf_has_prefix(*text, expected)) {
        return false;
    }
    *text += strlen(expected);
    return true;
}

static bool take_timeline(const char **text, uint32_t *ret)
{
    uint64_t value = 0;

    if (!take_hex(text, 8, &value) || value == 0) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* "<from>-<to>" or "<from>-open-<tag>", inside its segment. */
static bool parse_range(const char *text, uint64_t segment_bytes, struct vault_wal_name *name)
{
    uint64_t tag = 0;

    if (!take_hex(&text, 16, &name->from) || !take_text(&text, "-")) {
        return false;
    }
    if (name->from / segment_bytes != name->segno) {
        return false;
    }
    if (take_text(&text, "open-")) {
        name->kind = VAULT_WAL_GROWING;
        if (!take_hex(&text, 8, &tag)) {
            return false;
        }
        name->tag = (uint32_t)tag;
        return *text == '\0';
    }
    name->kind = VAULT_WAL_CLOSED;
    return take_hex(&text, 16, &name->to) && *text == '\0' && name->to > name->from &&
           (name->to - 1) / segment_bytes == name->segno;
}

bool vault_wal_name_parse(const struct vault_wal_place *place, const char *text,
                          struct vault_wal_name *ret_name)
{
    struct vault_wal_name name = {.kind = VAULT_WAL_HISTORY};

    if (!take_text(&text, place->prefix) || !take_text(&text, "/wal/") ||
        !take_text(&text, place->lineage) || !take_text(&text, "/")) {
        return false;
    }
    if (take_text(&text, "history/")) {
        if (!take_timeline(&text, &name.timeline) || *text != '\0') {
            return false;
        }
        *ret_name = name;
        return true;
    }
    if (!take_timeline(&text, &name.timeline) || !take_text(&text, "/") ||
        !take_hex(&text, 16, &name.segno) || !take_text(&text, "/") ||
        !parse_range(text, place->segment_bytes, &name)) {
        return false;
    }
    *ret_name = name;
    return true;
}

/* The one plaintext of a history object, checked as a pack with a single record. */
static struct hf_status history_read(struct hf_ctx *ctx, struct objstore *store,
                                     const struct vault_keyring *keyring, const char *name,
                                     struct hf_buf *buf)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct vault_pack pack = {.blobs_len = 0};
    struct hf_bytes plain = {0};

    HF_TRY(vault_pack_open(ctx, store, keyring, name, &pack));
    if (pack.header.kind != VAULT_PACK_WAL || pack.blobs_len != 1 ||
        pack.header.number != vault_wal_history_number(name) ||
        pack.blobs[0].type != VAULT_BLOB_BYTES || pack.blobs[0].plain_len > VAULT_WAL_HISTORY_MAX) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is not a timeline history", name);
    }
    HF_TRY(vault_blob_read(ctx, store, keyring, &pack, 0, false, reader, &plain));
    hf_buf_append(buf, plain.ptr, plain.len);
    return hf_buf_status(buf, ctx->arena, "timeline history");
}

static char *history_name(struct hf_arena *arena, const struct vault_wal_place *place,
                          uint32_t timeline)
{
    struct vault_wal_name name = {.kind = VAULT_WAL_HISTORY, .timeline = timeline};

    return vault_wal_name_format(arena, place, &name);
}

struct hf_status vault_wal_history_get(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_place *place, uint32_t timeline,
                                       struct hf_buf *buf)
{
    HF_TRY(vault_wal_place_check(ctx->arena, place));
    return history_read(ctx, store, keyring, history_name(ctx->arena, place, timeline), buf);
}

static struct hf_status history_compare(struct hf_ctx *ctx, struct objstore *store,
                                        const struct vault_keyring *keyring, const char *name,
                                        struct hf_bytes text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf stored = {0};

    hf_buf_init(&stored, VAULT_WAL_HISTORY_MAX);
    HF_TRY(history_read(ctx, store, keyring, name, &stored));
    if (stored.len == text.len && (text.len == 0 || memcmp(stored.ptr, text.ptr, text.len) == 0)) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, VAULT_WAL_CONFLICT,
                        (const char *const[]){"object", name, NULL},
                        "another history is stored as %s", name);
}

struct hf_status vault_wal_history_put(struct hf_ctx *ctx, struct objstore *store,
                                       const struct vault_keyring *keyring,
                                       const struct vault_wal_place *place, uint32_t timeline,
                                       struct hf_bytes text)
{
    HF_CLEANUP(vault_wal_seal_done) struct vault_wal_seal seal = {0};
    struct hf_status status;
    const char *name;

    HF_TRY(vault_wal_place_check(ctx->arena, place));
    if (text.len == 0 || text.len > VAULT_WAL_HISTORY_MAX) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "history of timeline %" PRIu32 " has %zu bytes, expected 1 to %u", timeline,
                       text.len, VAULT_WAL_HISTORY_MAX);
    }
    name = history_name(ctx->arena, place, timeline);
    HF_TRY(vault_wal_seal_begin(ctx, &seal, keyring, vault_wal_history_number(name),
                                VAULT_WAL_LEVEL_FAST));
    HF_TRY(vault_wal_seal_other(ctx, &seal, text));
    HF_TRY(vault_wal_seal_finish(ctx, &seal));
    status = objstore_put(ctx, store, name, vault_wal_seal_bytes(&seal));
    if (status.code == HF_ALREADY_EXISTS) {
        return history_compare(ctx, store, keyring, name, text);
    }
    return status;
}
