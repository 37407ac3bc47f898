/* Foreign text as a person sees it: valid, short enough, nothing that moves a cursor or turns the
 * direction, and the same when it is shown again. The first byte chooses the limit. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 4 << 20, TEXT_MAX = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);

    if (size == 0 || size > TEXT_MAX) {
        return 0;
    }
    size_t max = 8 + (size_t)data[0] * 8;
    const char *shown = hf_text_show(arena, (const char *)data + 1, size - 1, max);
    size_t len = strlen(shown);

    HF_CHECK(len <= max && hf_is_utf8(shown, len));
    for (size_t i = 0; i < len; i++) {
        HF_CHECK((uint8_t)shown[i] >= 0x20 && shown[i] != 0x7f);
        HF_CHECK((uint8_t)shown[i] != 0xc2 || (uint8_t)shown[i + 1] >= 0xa0); /* C1 */
    }
    HF_CHECK(strstr(shown, "\xe2\x80\xae") == NULL && strstr(shown, "\xe2\x80\x8b") == NULL);
    HF_CHECK(strcmp(shown, hf_text_show(arena, shown, len, max)) == 0);
    return 0;
}
