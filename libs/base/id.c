/* Randomness from the kernel, and UUIDv7 (RFC 9562): 48 bits of milliseconds, then random. */
#include "base/id.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/str.h"

void hf_random(void *ret_bytes, size_t len)
{
    uint8_t *at = ret_bytes;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        HF_CHECK(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

struct hf_uuid hf_uuid_new(int64_t time_us)
{
    struct hf_uuid uuid;
    uint64_t ms = time_us < 0 ? 0 : (uint64_t)time_us / 1000;

    hf_random(uuid.bytes, sizeof(uuid.bytes));
    for (size_t i = 0; i < 6; i++) {
        uuid.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    uuid.bytes[6] = (uint8_t)(0x70 | (uuid.bytes[6] & 0x0f));
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3f));
    return uuid;
}

/* A hyphen stands before these bytes in the text form. */
static int has_hyphen_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void hf_uuid_text(const struct hf_uuid *uuid, char ret_text[HF_UUID_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    char *out = ret_text;

    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        if (has_hyphen_before(i)) {
            *out++ = '-';
        }
        *out++ = digits[uuid->bytes[i] >> 4];
        *out++ = digits[uuid->bytes[i] & 15];
    }
    *out = '\0';
}

int hf_uuid_parse(const char *text, struct hf_uuid *ret_uuid)
{
    struct hf_uuid uuid;
    const char *at = text;

    if (text == NULL || strlen(text) != HF_UUID_TEXT_LEN) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (has_hyphen_before(i) && *at++ != '-') {
            return -1;
        }
        char pair[3] = {at[0], at[1], '\0'};
        if (!hf_unhex(pair, &uuid.bytes[i], 1)) {
            return -1;
        }
        at += 2;
    }
    *ret_uuid = uuid;
    return 0;
}

char *hf_uuid_new_text(struct hf_arena *arena, int64_t time_us)
{
    struct hf_uuid uuid = hf_uuid_new(time_us);
    char *text = hf_alloc(arena, HF_UUID_TEXT_LEN + 1);

    hf_uuid_text(&uuid, text);
    return text;
}
