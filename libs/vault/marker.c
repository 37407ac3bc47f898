/* The marker of a vault. The surprise: it is text, so that somebody who finds the directory in ten
 * years learns from its first object what it is; its last line is a digest of the others. */
#include "vault/marker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "codec/hash.h"
#include "vault/pack_format.h"

#define MARKER_MAX 1024

static const char marker_title[] = "This is a Holdfast vault: sealed backups, see vault-format.md";

char *vault_marker_encode(struct hf_arena *arena, const struct vault_marker *marker)
{
    char *body = hf_printf(arena, "%s\nformat %u\nvault %s\ncreated-us %" PRId64 "\n", marker_title,
                           marker->format, marker->id, marker->created_us);
    uint8_t hash[CODEC_SHA256_LEN];

    codec_sha256(body, strlen(body), hash);
    return hf_printf(arena, "%ssha256 %s\n", body, hf_hex(arena, hash, sizeof(hash)));
}

/* The rest of the line that begins with key, or NULL. */
static const char *marker_field(struct hf_arena *arena, const char *text, const char *key)
{
    const char *at = strstr(text, hf_printf(arena, "\n%s ", key));

    if (at == NULL) {
        return NULL;
    }
    at += strlen(key) + 2;
    return hf_strndup(arena, at, strcspn(at, "\n"));
}

static bool marker_hash_holds(struct hf_arena *arena, const char *text)
{
    const char *said = marker_field(arena, text, "sha256");
    uint8_t hash[CODEC_SHA256_LEN];
    size_t len;

    if (said == NULL) {
        return false;
    }
    len = (size_t)(strstr(text, "\nsha256 ") + 1 - text);
    codec_sha256(text, len, hash);
    return strcmp(text + len, hf_printf(arena, "sha256 %s\n", hf_hex(arena, hash, sizeof(hash)))) ==
           0;
}

struct hf_status vault_marker_decode(struct hf_arena *arena, struct hf_str text,
                                     struct vault_marker *ret_marker)
{
    const char *all = hf_strndup(arena, text.ptr, text.len);
    const char *format = marker_field(arena, all, "format");
    const char *id = marker_field(arena, all, "vault");
    const char *created = marker_field(arena, all, "created-us");
    struct vault_marker marker = {0};
    struct hf_uuid uuid;
    uint64_t number = 0;

    if (strlen(all) != text.len || !marker_hash_holds(arena, all) || format == NULL ||
        !hf_parse_u64(format, &number) || number == 0 || number > UINT32_MAX) {
        return vault_damaged(arena, VAULT_MARKER_NAME, 0, "not a vault's marker");
    }
    if (number > VAULT_FORMAT) {
        return vault_newer(arena, VAULT_MARKER_NAME, (unsigned)number);
    }
    if (id == NULL || hf_uuid_parse(id, &uuid) != 0 || created == NULL ||
        !hf_parse_i64(created, &marker.created_us)) {
        return vault_damaged(arena, VAULT_MARKER_NAME, 0, "marker lacks a field");
    }
    marker.format = (unsigned)number;
    hf_uuid_text(&uuid, marker.id);
    *ret_marker = marker;
    return hf_success();
}

struct hf_status vault_check(struct hf_ctx *ctx, struct objstore *store,
                             struct vault_marker *ret_marker)
{
    char text[MARKER_MAX];
    uint64_t size = 0;
    struct hf_status status = objstore_head(ctx, store, VAULT_MARKER_NAME, &size);

    if (status.code == HF_NOT_FOUND) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "this is not a vault: it has no object %s",
                       VAULT_MARKER_NAME);
    }
    HF_TRY(status);
    if (size > sizeof(text)) {
        return vault_damaged(ctx->arena, VAULT_MARKER_NAME, 0, "marker is too long");
    }
    HF_TRY(objstore_read(ctx, store, VAULT_MARKER_NAME, 0, (size_t)size, text));
    return vault_marker_decode(ctx->arena, (struct hf_str){text, (size_t)size}, ret_marker);
}

/* A new marker into a store that must have no other objects: it would hide that they were taken for
 * somebody else's. */
static struct hf_status marker_write(struct hf_ctx *ctx, struct objstore *store)
{
    struct vault_marker marker = {.format = VAULT_FORMAT, .created_us = hf_now_us()};
    const struct hf_uuid id = hf_uuid_new(marker.created_us);
    struct objstore_page page = {0};
    const char *text;

    HF_TRY(objstore_list(ctx, store, "", NULL, 1, &page));
    if (page.len > 0 && strcmp(page.entries[0].name, VAULT_MARKER_NAME) != 0) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "there are objects (%s) but no vault marker: not making a vault there",
                       page.entries[0].name);
    }
    hf_uuid_text(&id, marker.id);
    text = vault_marker_encode(ctx->arena, &marker);
    return objstore_put(ctx, store, VAULT_MARKER_NAME,
                        (struct hf_bytes){(const uint8_t *)text, strlen(text)});
}

struct hf_status vault_create(struct hf_ctx *ctx, struct objstore *store)
{
    struct vault_marker marker;
    struct hf_status status = vault_check(ctx, store, &marker);

    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    status = marker_write(ctx, store);
    /* Somebody made it in between: his vault is as good. */
    return status.code == HF_ALREADY_EXISTS ? vault_check(ctx, store, &marker) : status;
}
