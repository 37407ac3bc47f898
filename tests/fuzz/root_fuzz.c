/* Roots (what decodes must encode and decode again) and tables of packs. */
#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "vault/packtable.h"
#include "vault/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)256 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    HF_CLEANUP(vault_packtable_done) struct vault_packtable table = {0};
    struct vault_root root;
    struct vault_root again;

    if (hf_is_ok(vault_root_decode(arena, (struct hf_bytes){data, size}, &root))) {
        vault_root_used_bits(&root, &used);
        hf_buf_init(&buf, VAULT_ROOT_MAX);
        vault_root_encode(&buf, &root);
        HF_CHECK(hf_is_ok(vault_root_decode(arena, (struct hf_bytes){buf.ptr, buf.len}, &again)));
        HF_CHECK(again.map.shards_len == root.map.shards_len);
    }
    (void)hf_is_ok(vault_packtable_decode(arena, (struct hf_bytes){data, size}, &table));
    return 0;
}
