/* Key slots. The surprise: a slot ends with a plain SHA-256 of itself. It adds no security; it lets
 * a damaged slot be called damaged and a wrong key wrong, which the sealing alone cannot tell. */
#include "vault/slot.h"

#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/seal.h"
#include "codec/wire.h"
#include "vault/keyring_internal.h"
#include "vault/pack_format.h"

#define SLOT_HEAD_LEN 56
#define SLOT_ESCROW_HEAD_LEN (VAULT_ID_LEN + VAULT_KEY_LEN)
#define SECRETS_MAX (8 + (VAULT_SLOT_VERSIONS_MAX + VAULT_SLOT_VERIFYING_MAX + 2) * VAULT_KEY_LEN)

static const uint8_t slot_magic[8] = {0x89, 'H', 'F', 'K', 'E', 'Y', '\r', '\n'};
static const uint8_t zero_nonce[CODEC_NONCE_LEN] = {0};

/* The parts of a slot object, borrowed from its bytes. */
struct slot_view {
    struct hf_bytes head;
    struct hf_bytes sealed;
    struct hf_bytes escrow; /* empty: none */
};

static struct hf_bytes text_bytes(const char *text)
{
    return (struct hf_bytes){(const uint8_t *)text, strlen(text)};
}

static void expand(const uint8_t key[VAULT_KEY_LEN], const char *label, void *ret_bytes, size_t len)
{
    struct hf_bytes info = text_bytes(label);

    codec_hkdf_expand(key, &info, 1, ret_bytes, len);
}

static void secrets_encode(const struct vault_secrets *secrets, struct hf_buf *out)
{
    codec_wire_put_be32(out, secrets->versions);
    codec_wire_put_raw(out, secrets->realm_keys, (size_t)secrets->versions * VAULT_KEY_LEN);
    codec_wire_put_raw(out, secrets->idk, VAULT_KEY_LEN);
    codec_wire_put_raw(out, secrets->writer_private, VAULT_KEY_LEN);
    codec_wire_put_be32(out, secrets->verifying_len);
    codec_wire_put_raw(out, secrets->verifying, (size_t)secrets->verifying_len * VAULT_KEY_LEN);
}

static struct hf_status secrets_decode(struct hf_arena *arena, const char *name,
                                       struct hf_bytes plain, struct vault_secrets *ret_secrets)
{
    struct codec_wire wire = codec_wire_open(plain.ptr, plain.len);

    memset(ret_secrets, 0, sizeof(*ret_secrets));
    ret_secrets->versions = codec_wire_get_be32(&wire);
    if (ret_secrets->versions < 1 || ret_secrets->versions > VAULT_SLOT_VERSIONS_MAX) {
        return vault_damaged(arena, name, 0, "impossible number of realm keys");
    }
    codec_wire_get_raw(&wire, ret_secrets->realm_keys,
                       (size_t)ret_secrets->versions * VAULT_KEY_LEN);
    codec_wire_get_raw(&wire, ret_secrets->idk, VAULT_KEY_LEN);
    codec_wire_get_raw(&wire, ret_secrets->writer_private, VAULT_KEY_LEN);
    ret_secrets->verifying_len = codec_wire_get_be32(&wire);
    if (ret_secrets->verifying_len > VAULT_SLOT_VERIFYING_MAX) {
        ret_secrets->verifying_len = 0;
        return vault_damaged(arena, name, 0, "too many verifying keys");
    }
    codec_wire_get_raw(&wire, ret_secrets->verifying,
                       (size_t)ret_secrets->verifying_len * VAULT_KEY_LEN);
    return codec_wire_finish(&wire, arena, name);
}

/* K = HKDF(ephemeral public ‖ escrow public, shared secret): both keys are bound. */
static bool escrow_key(const uint8_t *private_key, const uint8_t *peer, const uint8_t *ephemeral,
                       const uint8_t *escrow, uint8_t ret_key[VAULT_KEY_LEN])
{
    uint8_t shared[VAULT_KEY_LEN];
    uint8_t salt[2 * VAULT_KEY_LEN];
    uint8_t secret[VAULT_KEY_LEN];
    bool is_good = codec_x25519(private_key, peer, shared);

    if (is_good) {
        memcpy(salt, ephemeral, VAULT_KEY_LEN);
        memcpy(salt + VAULT_KEY_LEN, escrow, VAULT_KEY_LEN);
        codec_hkdf_extract((struct hf_bytes){salt, sizeof(salt)},
                           (struct hf_bytes){shared, sizeof(shared)}, secret);
        expand(secret, "holdfast/1 escrow", ret_key, VAULT_KEY_LEN);
        codec_wipe(secret, sizeof(secret));
    }
    codec_wipe(shared, sizeof(shared));
    return is_good;
}

static void escrow_id(const uint8_t public_key[VAULT_KEY_LEN], uint8_t ret_id[VAULT_ID_LEN])
{
    uint8_t hash[CODEC_SHA256_LEN];

    codec_sha256(public_key, VAULT_KEY_LEN, hash);
    memcpy(ret_id, hash, VAULT_ID_LEN);
}

static void escrow_encode(const struct vault_slot_seal *seal, struct hf_bytes head,
                          struct hf_bytes plain, struct hf_buf *out)
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    uint8_t private_key[VAULT_KEY_LEN];
    uint8_t public_key[VAULT_KEY_LEN];
    uint8_t id[VAULT_ID_LEN];
    uint8_t key[VAULT_KEY_LEN];
    const struct codec_gcm_params params = {key, zero_nonce, head};
    uint8_t *at;

    codec_x25519_make(private_key, public_key);
    if (seal->ephemeral_private != NULL) {
        memcpy(private_key, seal->ephemeral_private, VAULT_KEY_LEN);
        codec_x25519_public(private_key, public_key);
    }
    HF_CHECK(escrow_key(private_key, seal->escrow_public, public_key, seal->escrow_public, key));
    escrow_id(seal->escrow_public, id);
    codec_wire_put_raw(out, id, sizeof(id));
    codec_wire_put_raw(out, public_key, sizeof(public_key));
    at = hf_buf_extend(out, plain.len + CODEC_TAG_LEN);
    HF_CHECK(at != NULL);
    codec_gcm_seal(gcm, &params, plain, at);
    codec_wipe(private_key, sizeof(private_key));
    codec_wipe(key, sizeof(key));
}

static void head_encode(const struct vault_slot_place *place, const struct vault_slot_seal *seal,
                        size_t sealed_len, uint8_t ret_head[SLOT_HEAD_LEN])
{
    memset(ret_head, 0, SLOT_HEAD_LEN);
    memcpy(ret_head, slot_magic, sizeof(slot_magic));
    vault_put_be16(ret_head + 8, VAULT_FORMAT);
    vault_put_be16(ret_head + 10, seal->escrow_public != NULL);
    vault_put_be32(ret_head + 12, place->number);
    expand(seal->kek, "holdfast/1 kek id", ret_head + 16, VAULT_ID_LEN);
    vault_realm_tag(place->realm, ret_head + 32);
    vault_put_be32(ret_head + 48, (uint32_t)sealed_len);
}

void vault_slot_encode(const struct vault_slot_place *place, const struct vault_slot_seal *seal,
                       const struct vault_secrets *secrets, struct hf_buf *out)
{
    uint8_t head[SLOT_HEAD_LEN];
    uint8_t siv_key[CODEC_SIV_KEY_LEN];
    uint8_t hash[CODEC_SHA256_LEN];
    HF_CLEANUP(hf_buf_done) struct hf_buf plain = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf escrow = {0};
    struct hf_bytes aad[3] = {text_bytes(place->realm), {head, sizeof(head)}, {NULL, 0}};
    size_t start = out->len;
    uint8_t *sealed;

    hf_buf_init(&plain, SECRETS_MAX);
    hf_buf_init(&escrow, VAULT_SLOT_MAX);
    secrets_encode(secrets, &plain);
    head_encode(place, seal, plain.len + CODEC_TAG_LEN, head);
    if (seal->escrow_public != NULL) {
        escrow_encode(seal, aad[1], (struct hf_bytes){plain.ptr, plain.len}, &escrow);
        aad[2] = (struct hf_bytes){escrow.ptr, escrow.len};
    }
    hf_buf_append(out, head, sizeof(head));
    sealed = hf_buf_extend(out, plain.len + CODEC_TAG_LEN);
    HF_CHECK(sealed != NULL);
    expand(seal->kek, "holdfast/1 slot", siv_key, sizeof(siv_key));
    codec_siv_seal(siv_key, aad, aad[2].len > 0 ? 3 : 2, (struct hf_bytes){plain.ptr, plain.len},
                   sealed);
    hf_buf_append(out, escrow.ptr, escrow.len);
    codec_sha256(out->ptr + start, out->len - start, hash);
    hf_buf_append(out, hash, sizeof(hash));
    codec_wipe(siv_key, sizeof(siv_key));
    codec_wipe(plain.ptr, plain.len);
}

static struct hf_status slot_parse(struct hf_arena *arena, const struct vault_slot_place *place,
                                   struct hf_bytes bytes, struct slot_view *ret_view)
{
    uint8_t hash[CODEC_SHA256_LEN];
    uint8_t tag[VAULT_ID_LEN];
    const uint8_t *at = bytes.ptr;
    size_t sealed_len;
    size_t escrow_len;

    if (bytes.len < SLOT_HEAD_LEN + CODEC_TAG_LEN + sizeof(hash) ||
        memcmp(at, slot_magic, sizeof(slot_magic)) != 0) {
        return vault_damaged(arena, place->name, 0, "not a key slot");
    }
    codec_sha256(at, bytes.len - sizeof(hash), hash);
    if (memcmp(at + bytes.len - sizeof(hash), hash, sizeof(hash)) != 0) {
        return vault_damaged(arena, place->name, bytes.len - sizeof(hash),
                             "key slot checksum does not match");
    }
    if (vault_get_be16(at + 8) > VAULT_FORMAT) {
        return vault_newer(arena, place->name, vault_get_be16(at + 8));
    }
    sealed_len = vault_get_be32(at + 48);
    escrow_len = vault_get_be16(at + 10) != 0 ? SLOT_ESCROW_HEAD_LEN + sealed_len : 0;
    if (sealed_len > VAULT_SLOT_MAX || vault_get_be16(at + 10) > 1 ||
        bytes.len != SLOT_HEAD_LEN + sealed_len + escrow_len + sizeof(hash)) {
        return vault_damaged(arena, place->name, 48, "key slot lengths do not add up");
    }
    vault_realm_tag(place->realm, tag);
    if (vault_get_be32(at + 12) != place->number || memcmp(at + 32, tag, sizeof(tag)) != 0) {
        return vault_damaged(arena, place->name, 12, "key slot of another realm or number");
    }
    ret_view->head = (struct hf_bytes){at, SLOT_HEAD_LEN};
    ret_view->sealed = (struct hf_bytes){at + SLOT_HEAD_LEN, sealed_len};
    ret_view->escrow = (struct hf_bytes){at + SLOT_HEAD_LEN + sealed_len, escrow_len};
    return hf_success();
}

struct hf_status vault_slot_open(struct hf_arena *arena, const struct vault_slot_place *place,
                                 struct hf_bytes bytes, const uint8_t kek[VAULT_KEY_LEN],
                                 struct vault_secrets *ret_secrets)
{
    struct slot_view view = {0};
    uint8_t kek_id[VAULT_ID_LEN];
    uint8_t siv_key[CODEC_SIV_KEY_LEN];
    uint8_t plain[SECRETS_MAX];
    struct hf_status status;
    bool is_authentic;

    HF_TRY(slot_parse(arena, place, bytes, &view));
    expand(kek, "holdfast/1 kek id", kek_id, sizeof(kek_id));
    if (!codec_equal(kek_id, view.head.ptr + 16, sizeof(kek_id))) {
        return vault_wrong_key(arena, place->name, "is sealed under another key");
    }
    if (view.sealed.len > sizeof(plain) + CODEC_TAG_LEN) {
        return vault_damaged(arena, place->name, 48, "key slot is too large");
    }
    const struct hf_bytes aad[3] = {text_bytes(place->realm), view.head, view.escrow};

    expand(kek, "holdfast/1 slot", siv_key, sizeof(siv_key));
    is_authentic = codec_siv_open(siv_key, aad, view.escrow.len > 0 ? 3 : 2, view.sealed, plain);
    status =
        is_authentic
            ? secrets_decode(arena, place->name,
                             (struct hf_bytes){plain, view.sealed.len - CODEC_TAG_LEN}, ret_secrets)
            : vault_damaged(arena, place->name, SLOT_HEAD_LEN, "key slot is not authentic");
    codec_wipe(siv_key, sizeof(siv_key));
    codec_wipe(plain, sizeof(plain));
    return status;
}

struct hf_status vault_slot_open_escrow(struct hf_arena *arena,
                                        const struct vault_slot_place *place, struct hf_bytes bytes,
                                        const uint8_t private_key[VAULT_KEY_LEN],
                                        struct vault_secrets *ret_secrets)
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    struct slot_view view = {0};
    uint8_t public_key[VAULT_KEY_LEN];
    uint8_t id[VAULT_ID_LEN];
    uint8_t key[VAULT_KEY_LEN];
    uint8_t plain[SECRETS_MAX];
    struct hf_status status;

    HF_TRY(slot_parse(arena, place, bytes, &view));
    if (view.escrow.len == 0) {
        return hf_fail(arena, HF_NOT_FOUND, "%s has no escrow copy", place->name);
    }
    codec_x25519_public(private_key, public_key);
    escrow_id(public_key, id);
    if (memcmp(id, view.escrow.ptr, sizeof(id)) != 0) {
        return vault_wrong_key(arena, place->name, "is escrowed to another recovery kit");
    }
    const uint8_t *ephemeral = view.escrow.ptr + VAULT_ID_LEN;
    const struct hf_bytes sealed = {view.escrow.ptr + SLOT_ESCROW_HEAD_LEN,
                                    view.escrow.len - SLOT_ESCROW_HEAD_LEN};
    const struct codec_gcm_params params = {key, zero_nonce, view.head};

    if (sealed.len > sizeof(plain) ||
        !escrow_key(private_key, ephemeral, ephemeral, public_key, key) ||
        !codec_gcm_open(gcm, &params, sealed, plain)) {
        return vault_damaged(arena, place->name, SLOT_HEAD_LEN + view.sealed.len,
                             "escrow copy is not authentic");
    }
    status = secrets_decode(arena, place->name,
                            (struct hf_bytes){plain, sealed.len - CODEC_TAG_LEN}, ret_secrets);
    codec_wipe(key, sizeof(key));
    codec_wipe(plain, sizeof(plain));
    return status;
}
