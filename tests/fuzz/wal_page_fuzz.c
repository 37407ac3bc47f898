/* Bytes as WAL of a 1 MiB segment: decoding, checking and walking must end, and never beyond what
 * is there. */
#include <string.h>

#include "base/check.h"
#include "pgformat/wal.h"
#include "pgformat/walrec.h"
#include "tests/fuzz/fuzz.h"

struct input {
    const uint8_t *data;
    size_t size;
};

static struct hf_status input_read(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                                   size_t *ret_len)
{
    const struct input *input = arg;
    size_t from = (size_t)(lsn - PGF_WAL_SEGMENT_MIN);
    size_t left = from < input->size ? input->size - from : 0;

    *ret_len = len < left ? len : left;
    if (*ret_len > 0) {
        memcpy(ret_bytes, input->data + from, *ret_len);
    }
    return hf_success();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct input input = {data, size};
    struct pgf_walk_options options = {.reader = {input_read, &input},
                                       .start_lsn = PGF_WAL_SEGMENT_MIN,
                                       .segment_bytes = PGF_WAL_SEGMENT_MIN,
                                       .is_find_first = true};
    struct pgf_wal_summary summary;
    struct pgf_wal_page page;

    (void)hf_is_ok(pgf_wal_page_decode(arena, data, size, &page));
    HF_CHECK(hf_is_ok(pgf_wal_scan(arena, &options, NULL, &summary)));
    HF_CHECK(summary.end != PGF_WAL_END_NONE && summary.records <= size / 24);
    return 0;
}
