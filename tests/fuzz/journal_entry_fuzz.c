/* Journal entry: the input as a whole entry (as it is, and with the right checksum) and as the
 * plaintext of a body; what decodes must encode to itself. */
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "tests/fuzz/fuzz.h"
#include "vault/journal_codec.h"
#include "vault/pack_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 22);
    const struct hf_bytes bytes = {data, size};
    struct vault_frame frame;
    struct vault_entry entry;
    struct vault_source_state state = {.head = 0};
    HF_CLEANUP(hf_buf_done) struct hf_buf again = {0};

    (void)hf_is_ok(vault_frame_decode(arena, "entry", bytes, &frame));
    if (size >= VAULT_FRAME_LEN) { /* behind the checksum, which no fuzzer guesses */
        uint8_t *copy = hf_dup(arena, data, size);

        vault_put_be32(copy + VAULT_FRAME_LEN - 4, codec_crc32c(0, copy, VAULT_FRAME_LEN - 4));
        (void)hf_is_ok(vault_frame_decode(arena, "entry", (struct hf_bytes){copy, size}, &frame));
    }
    if (hf_is_ok(vault_body_decode(arena, "entry", bytes, &entry, &state))) {
        hf_buf_init(&again, size + 1);
        vault_body_encode(&entry, &state, &again);
        HF_CHECK(again.len == size && memcmp(again.ptr, data, size) == 0);
    }
    return 0;
}
