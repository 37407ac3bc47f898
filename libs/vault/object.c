/* Which pack an object is, told from its first bytes. */
#include "vault/object.h"

#include <stddef.h>
#include <string.h>

#include "vault/journal_codec.h"

/* The last folder tells: a tenant or source may be called "journal", too. */
static bool is_journal_entry(const char *name)
{
    static const char folder[] = "/journal";
    const char *slash = strrchr(name, '/');

    return slash != NULL && slash - name >= (ptrdiff_t)(sizeof(folder) - 1) &&
           memcmp(slash - (sizeof(folder) - 1), folder, sizeof(folder) - 1) == 0;
}

struct hf_status vault_object_header(struct hf_arena *arena, const char *name,
                                     struct hf_bytes first, struct vault_pack_header *ret_header)
{
    size_t offset = is_journal_entry(name) ? VAULT_FRAME_LEN : 0;

    if (first.len < offset + VAULT_PACK_HEADER_LEN) {
        return hf_fail(arena, HF_DATA_LOSS, "%s is too short to be an object of a vault", name);
    }
    const struct hf_bytes header = {first.ptr + offset, VAULT_PACK_HEADER_LEN};

    return hf_wrap(arena, vault_pack_header_decode(arena, header, ret_header), "%s", name);
}

struct hf_status vault_object_secret(struct hf_ctx *ctx, struct objstore *store,
                                     const struct vault_keyring *keyring, const char *name,
                                     uint8_t ret_secret[VAULT_KEY_LEN])
{
    uint8_t first[VAULT_OBJECT_FIRST];
    uint64_t size = 0;
    struct vault_pack_header header;

    HF_TRY(objstore_head(ctx, store, name, &size));
    size_t len = size < sizeof(first) ? (size_t)size : sizeof(first);

    HF_TRY(objstore_read(ctx, store, name, 0, len, first));
    HF_TRY(vault_object_header(ctx->arena, name, (struct hf_bytes){first, len}, &header));
    return vault_keyring_secret(ctx, keyring, &header, ret_secret);
}
