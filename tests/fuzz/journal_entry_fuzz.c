/* Journal entry: the input as a whole entry and as the plaintext of a body; what decodes must
 * encode to itself. */
#include <string.h>

#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "vault/journal_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 22);
    const struct hf_bytes bytes = {data, size};
    struct vault_frame frame;
    struct vault_entry entry;
    struct vault_source_state state = {.head = 0};
    HF_CLEANUP(hf_buf_done) struct hf_buf again = {0};

    (void)hf_is_ok(vault_frame_decode(arena, "entry", bytes, &frame));
    if (hf_is_ok(vault_body_decode(arena, "entry", bytes, &entry, &state))) {
        hf_buf_init(&again, size + 1);
        vault_body_encode(&entry, &state, &again);
        HF_CHECK(again.len == size && memcmp(again.ptr, data, size) == 0);
    }
    return 0;
}
