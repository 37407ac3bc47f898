/* Objects of kind MAP, TABLE and ROOT: whole small packs put at once. */
#include "vault/table_io.h"

#include <string.h>

struct hf_status vault_table_put(struct hf_ctx *ctx, const struct vault_place *place,
                                 struct vault_pack_writer *pack, const char *name,
                                 struct vault_table_ref *ref)
{
    struct hf_bytes bytes = {NULL, 0};

    memcpy(ref->id, vault_pack_writer_id(pack), VAULT_ID_LEN);
    vault_pack_finish(pack, &bytes, ref->sha256);
    ref->size_bytes = bytes.len;
    return objstore_put(ctx, place->store, name, bytes);
}

struct hf_status vault_missing_is_loss(struct hf_arena *arena, struct hf_status status,
                                       const char *name)
{
    if (status.code == HF_NOT_FOUND) {
        return hf_fail(arena, HF_DATA_LOSS, "%s is missing", name);
    }
    return status;
}

struct hf_status vault_table_open(struct hf_ctx *ctx, const struct vault_place *place,
                                  enum vault_pack_kind kind, const char *name,
                                  const struct vault_table_ref *ref, struct vault_pack *ret_pack)
{
    struct vault_pack pack;

    HF_TRY(vault_missing_is_loss(
        ctx->arena, vault_pack_open(ctx, place->store, place->keyring, name, &pack), name));
    if (pack.header.kind != kind || memcmp(pack.header.id, ref->id, VAULT_ID_LEN) != 0 ||
        pack.size_bytes != ref->size_bytes || pack.blobs_len == 0) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is not the object that the root means", name);
    }
    *ret_pack = pack;
    return hf_success();
}
