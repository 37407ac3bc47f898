/* Trailer of a pack: the input is its plaintext behind eight bytes that say where records end. */
#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "vault/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 22);
    struct vault_pack pack = {.header = {.kind = VAULT_PACK_DATA}};

    if (size >= 8 && hf_is_ok(vault_trailer_decode(arena, (struct hf_bytes){data + 8, size - 8},
                                                   vault_get_be64(data), &pack))) {
        uint32_t pages = 0;

        for (size_t i = 0; i < pack.blobs_len; i++) {
            HF_CHECK(vault_blob_is_sane(&pack.blobs[i]) && pack.blobs[i].first_page == pages);
            pages += pack.blobs[i].pages;
        }
        HF_CHECK(pages == pack.pages);
    }
    return 0;
}
