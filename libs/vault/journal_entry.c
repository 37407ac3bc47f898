/* Whole journal entries: frame, sealed body, signature. The surprise is the order of checks: the
 * commitment of the body first, so that a wrong key is not called a forgery, then the signature,
 * and only of a signed entry the contents. */
#include "vault/journal_entry.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/seal.h"
#include "vault/keyring_internal.h"
#include "vault/pack_format.h"

#define BODY_LEVEL 3

const char *vault_entry_name(struct hf_arena *arena, const char *prefix, uint64_t number)
{
    return hf_printf(arena, "%s/journal/%012" PRIu64, prefix, number);
}

struct hf_status vault_journal_broken(struct hf_arena *arena, const char *reason, const char *name,
                                      const char *what)
{
    const char *const metadata[] = {"object", name, NULL};

    return hf_fail_info(arena, HF_DATA_LOSS, reason, metadata, "journal entry %s %s", name, what);
}

static void signer_id(const uint8_t public_key[VAULT_KEY_LEN], uint8_t ret_id[VAULT_ID_LEN])
{
    uint8_t hash[CODEC_SHA256_LEN];

    codec_sha256(public_key, VAULT_KEY_LEN, hash);
    memcpy(ret_id, hash, VAULT_ID_LEN);
}

/* Seal body as a pack of kind JOURNAL; long ones (checkpoints) in several blobs. */
static struct hf_status body_seal(struct hf_ctx *ctx, const struct vault_entry_seal *seal,
                                  const struct hf_buf *body, struct vault_pack_writer **ret_writer,
                                  struct hf_bytes *ret_pack)
{
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_JOURNAL,
        .number = seal->entry->number,
        .capacity_bytes = body->len + body->len / VAULT_BLOB_MAX * 128 + 4096,
        .level = BODY_LEVEL,
        .fixed_id = seal->fixed_id,
        .fixed_salt = seal->fixed_salt,
    };
    uint8_t hash[VAULT_HASH_LEN];

    HF_TRY(vault_pack_writer_new(ctx, seal->keyring, &options, &writer));
    for (size_t at = 0; at < body->len; at += VAULT_BLOB_MAX) {
        size_t rest = body->len - at;
        const struct hf_bytes part = {body->ptr + at,
                                      rest < VAULT_BLOB_MAX ? rest : VAULT_BLOB_MAX};

        HF_TRY(vault_pack_add(ctx, writer, seal->keyring, VAULT_BLOB_BYTES, part));
    }
    vault_pack_finish(writer, ret_pack, hash);
    *ret_writer = HF_TAKE(writer);
    return hf_success();
}

struct hf_status vault_entry_seal(struct hf_ctx *ctx, const struct vault_entry_seal *seal,
                                  struct hf_buf *out)
{
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};
    struct vault_frame frame = {.number = seal->entry->number};
    uint8_t signature[VAULT_SIGNATURE_LEN];

    HF_CHECK(seal->keyring->has_signing);
    hf_buf_init(&body, VAULT_ENTRY_MAX / 2);
    vault_body_encode(seal->entry, seal->state, &body);
    HF_TRY(hf_buf_status(&body, ctx->arena, "journal entry"));
    HF_TRY(body_seal(ctx, seal, &body, &writer, &frame.body));
    memcpy(frame.previous, seal->state->head_hash, VAULT_HASH_LEN);
    codec_sha256(seal->prefix, strlen(seal->prefix), frame.source_tag);
    signer_id(seal->keyring->signing_public, frame.signer);
    vault_frame_encode(&frame, out);
    HF_TRY(hf_buf_status(out, ctx->arena, "journal entry"));
    codec_ed25519_sign(seal->keyring->signing_private, (struct hf_bytes){out->ptr, out->len},
                       signature);
    hf_buf_append(out, signature, sizeof(signature));
    return hf_buf_status(out, ctx->arena, "journal entry");
}

static struct hf_status signature_check(struct hf_arena *arena, const struct vault_keyring *keyring,
                                        const char *name, const struct vault_frame *frame)
{
    for (uint32_t i = 0; i < keyring->secrets.verifying_len; i++) {
        const uint8_t *key = keyring->secrets.verifying[i];
        uint8_t id[VAULT_ID_LEN];

        signer_id(key, id);
        if (memcmp(id, frame->signer, sizeof(id)) == 0) {
            return codec_ed25519_verify(key, frame->signed_part, frame->signature)
                       ? hf_success()
                       : vault_journal_broken(arena, "JOURNAL_SIGNATURE", name,
                                              "is forged: its signature does not hold");
        }
    }
    return vault_journal_broken(arena, "JOURNAL_SIGNATURE", name,
                                "is forged: the key slot does not list its signer");
}

/* All blobs of the body, one after the other. */
static struct hf_status body_read(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                  const struct vault_pack *pack, struct hf_bytes bytes,
                                  struct hf_buf *out)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();

    for (size_t i = 0; i < pack->blobs_len; i++) {
        const struct vault_blob_info *blob = &pack->blobs[i];
        const struct hf_bytes sealed = {bytes.ptr + blob->offset, blob->sealed_len};
        struct hf_bytes plain = {NULL, 0};

        HF_TRY(vault_blob_open(ctx, keyring, pack, i, false, sealed, reader, &plain));
        hf_buf_append(out, plain.ptr, plain.len);
    }
    return hf_buf_status(out, ctx->arena, pack->name);
}

static struct hf_status frame_check(struct hf_arena *arena, const struct vault_entry_open *open,
                                    const char *name, const struct vault_frame *frame)
{
    uint8_t tag[VAULT_HASH_LEN];

    codec_sha256(open->prefix, strlen(open->prefix), tag);
    if (frame->number != open->number || memcmp(tag, frame->source_tag, sizeof(tag)) != 0) {
        return vault_journal_broken(arena, "JOURNAL_CHAIN", name,
                                    "is another entry's copy: it names another place");
    }
    return hf_success();
}

struct hf_status vault_entry_open(struct hf_ctx *ctx, struct hf_bytes bytes,
                                  struct vault_entry_open *open)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};
    const char *name = vault_entry_name(ctx->arena, open->prefix, open->number);
    struct vault_frame frame = {0};
    struct vault_pack pack = {.pages = 0};
    struct hf_status opened;

    HF_TRY(vault_frame_decode(ctx->arena, name, bytes, &frame));
    opened = vault_pack_open_bytes(ctx, open->keyring, name, frame.body, &pack);
    if (!hf_is_ok(opened) && opened.code != HF_DATA_LOSS) {
        return opened;
    }
    HF_TRY(signature_check(ctx->arena, open->keyring, name, &frame));
    HF_TRY(opened);
    HF_TRY(frame_check(ctx->arena, open, name, &frame));
    hf_buf_init(&body, VAULT_ENTRY_MAX);
    HF_TRY(body_read(ctx, open->keyring, &pack, frame.body, &body));
    HF_TRY(vault_body_decode(ctx->arena, name, (struct hf_bytes){body.ptr, body.len},
                             &open->ret_entry, &open->ret_state));
    if (pack.header.kind != VAULT_PACK_JOURNAL || pack.header.number != open->number ||
        open->ret_entry.number != open->number) {
        return vault_damaged(ctx->arena, name, VAULT_FRAME_LEN, "body of another entry");
    }
    codec_sha256(bytes.ptr, bytes.len, open->ret_hash);
    memcpy(open->ret_previous, frame.previous, VAULT_HASH_LEN);
    return hf_success();
}

struct hf_status vault_entry_read(struct hf_ctx *ctx, struct objstore *store,
                                  struct vault_entry_open *open)
{
    const char *name = vault_entry_name(ctx->arena, open->prefix, open->number);
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    uint64_t size = 0;
    uint8_t *at;

    HF_TRY(objstore_head(ctx, store, name, &size));
    if (size == 0 || size > VAULT_ENTRY_MAX) {
        return vault_damaged(ctx->arena, name, 0, "impossible size of a journal entry");
    }
    hf_buf_init(&bytes, VAULT_ENTRY_MAX);
    at = hf_buf_extend(&bytes, (size_t)size);
    HF_TRY(hf_buf_status(&bytes, ctx->arena, name));
    HF_TRY(objstore_read(ctx, store, name, 0, (size_t)size, at));
    return vault_entry_open(ctx, (struct hf_bytes){bytes.ptr, bytes.len}, open);
}
