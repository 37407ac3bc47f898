/* Names of WAL objects, as a store lists them: the first byte says the size of segments. What
 * parses lies in its segment and is written the same. */
#include <string.h>

#include "base/check.h"
#include "tests/fuzz/fuzz.h"
#include "vault/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct vault_wal_place place = {"p", "l1", VAULT_WAL_SEGMENT_MIN};
    struct vault_wal_name name;

    if (size < 1) {
        return 0;
    }
    place.segment_bytes <<= data[0] % 11;
    const char *text = hf_strndup(arena, (const char *)data + 1, size - 1);

    if (vault_wal_name_parse(&place, text, &name)) {
        HF_CHECK(name.kind == VAULT_WAL_HISTORY || name.from / place.segment_bytes == name.segno);
        HF_CHECK(strcmp(vault_wal_name_format(arena, &place, &name), text) == 0);
    }
    return 0;
}
