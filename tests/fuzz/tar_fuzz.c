/* Any bytes, in any chunks, must give events or DATA_LOSS. The first byte chooses the chunk. */
#include <string.h>

#include "base/check.h"
#include "pgformat/tar.h"
#include "tests/fuzz/fuzz.h"

static struct hf_status on_header(void *arg, const struct pgf_tar_member *member)
{
    HF_CHECK(arg == NULL && member->path[0] != '/' && strstr(member->path, "../") == NULL);
    return hf_success();
}

static struct hf_status on_data(void *arg, const uint8_t *bytes, size_t len)
{
    HF_CHECK(arg == NULL && bytes != NULL && len > 0);
    return hf_success();
}

static struct hf_status on_end(void *arg)
{
    HF_CHECK(arg == NULL);
    return hf_success();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_tar_events events = {on_header, on_data, on_end, NULL};
    struct hf_status status = hf_success();
    size_t chunk = size > 0 ? (size_t)data[0] * 8 + 1 : 1;
    struct pgf_tar tar;

    pgf_tar_init(&tar, &events);
    for (size_t pos = 1; pos < size && hf_is_ok(status); pos += chunk) {
        status = pgf_tar_feed(&tar, arena, data + pos, size - pos < chunk ? size - pos : chunk);
    }
    status = hf_is_ok(status) ? pgf_tar_finish(&tar, arena) : status;
    HF_CHECK(status.code == HF_OK || status.code == HF_DATA_LOSS);
    return 0;
}
