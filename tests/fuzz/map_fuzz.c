/* Map blobs and indexes: an entry that decodes keeps to its segment. */
#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "vault/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    HF_CLEANUP(vault_map_cursor_free) struct vault_map_cursor *cursor = vault_map_cursor_new();
    HF_CLEANUP(vault_bits_done) struct vault_bits bits = {0};
    const struct vault_map_entry *entry = NULL;
    struct vault_map_index index;

    vault_map_cursor_reset(cursor, (struct hf_bytes){data, size});
    while (hf_is_ok(vault_map_cursor_next(arena, cursor, &entry)) && entry != NULL) {
        for (size_t i = 0; i < entry->runs_len; i++) {
            HF_CHECK(entry->runs[i].first_page / VAULT_SEGMENT_PAGES == entry->segment);
        }
    }
    if (hf_is_ok(vault_map_index_decode(arena, (struct hf_bytes){data, size}, &index))) {
        (void)hf_is_ok(vault_map_index_packs(arena, &index, &bits));
    }
    return 0;
}
