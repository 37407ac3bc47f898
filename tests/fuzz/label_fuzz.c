/* backup_label and tablespace_map of any bytes; a map that parses must survive print and parse. */
#include <string.h>

#include "base/check.h"
#include "pgformat/label.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(256 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    const struct pgf_tablespace *items, *again;
    struct hf_str text = {(const char *)data, size};
    struct pgf_label label;
    size_t len, again_len;

    (void)hf_is_ok(pgf_label_parse(arena, text, &label));
    if (size > 4096 || !hf_is_ok(pgf_tablespace_map_parse(arena, text, &items, &len))) {
        return 0;
    }
    hf_buf_init(&out, 1 << 20);
    pgf_tablespace_map_print(items, len, &out);
    text = (struct hf_str){(const char *)out.ptr, out.len};
    HF_CHECK(hf_is_ok(pgf_tablespace_map_parse(arena, text, &again, &again_len)));
    HF_CHECK(again_len == len);
    for (size_t i = 0; i < len; i++) {
        HF_CHECK(strcmp(again[i].path, items[i].path) == 0);
    }
    return 0;
}
