/* Times both ways. The first byte chooses: the rest is a text, or eight bytes of it are a time. A
 * text is a time or INVALID_ARGUMENT; what was printed is read back as what it was, or as the end
 * of the range that lies nearer. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 1 << 20, TEXT_MAX = 4096 };

static void check_number(struct hf_arena *arena, int64_t time_us)
{
    const char *text = hf_time_text(arena, time_us);
    int64_t again_us = 0;

    HF_CHECK(hf_is_ok(hf_time_parse(arena, text, &again_us)));
    if (hf_time_in_range(time_us)) {
        HF_CHECK(again_us == time_us);
    } else {
        HF_CHECK(again_us == (time_us < 0 ? HF_TIME_MIN_US : HF_TIME_MAX_US));
    }
    HF_CHECK(strlen(hf_duration_text(arena, time_us)) < 64);
}

static void check_text(struct hf_arena *arena, const char *text)
{
    int64_t time_us = 0;
    struct hf_status status = hf_time_parse(arena, text, &time_us);

    if (hf_is_ok(status)) {
        check_number(arena, time_us);
    } else {
        HF_CHECK(status.code == HF_INVALID_ARGUMENT && status.message != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    int64_t time_us = 0;

    if (size == 0 || size > TEXT_MAX) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        check_text(arena, hf_strndup(arena, (const char *)data + 1, size - 1));
    } else if (size > sizeof(time_us)) {
        memcpy(&time_us, data + 1, sizeof(time_us));
        check_number(arena, time_us);
    }
    return 0;
}
