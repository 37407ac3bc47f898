/* A history that parses must print to one that parses to the same. The first byte is the timeline.
 */
#include <string.h>

#include "base/check.h"
#include "pgformat/history.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct pgf_history history, again;
    struct hf_str text = {(const char *)data + 1, size - 1};

    if (size == 0 || size > 65536 || !hf_is_ok(pgf_history_parse(arena, data[0], text, &history))) {
        return 0;
    }
    hf_buf_init(&out, 1 << 20);
    pgf_history_print(&history, &out);
    text = (struct hf_str){(const char *)out.ptr, out.len};
    HF_CHECK(hf_is_ok(pgf_history_parse(arena, data[0], text, &again)));
    HF_CHECK(again.len == history.len);
    for (size_t i = 0; i < again.len; i++) {
        HF_CHECK(again.entries[i].switch_lsn == history.entries[i].switch_lsn);
    }
    return 0;
}
