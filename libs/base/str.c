/* Text without surprises: parsing is all or nothing, comparing accepts NULL. */
#include "base/str.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"

#define DISTANCE_CAP 8
#define DISTANCE_MAX_LEN 64
#define NAME_MAX_LEN 40

struct hf_str hf_str_of(const char *text)
{
    return text == NULL ? (struct hf_str){"", 0} : (struct hf_str){text, strlen(text)};
}

bool hf_str_equal(struct hf_str a, struct hf_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool hf_text_equal(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return strcmp(a, b) == 0;
}

bool hf_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool hf_has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text);
    size_t suffix_len = strlen(suffix);

    return len >= suffix_len && memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

bool hf_text_empty(const char *text)
{
    return text == NULL || *text == '\0';
}

bool hf_parse_u64(const char *text, uint64_t *ret)
{
    uint64_t value = 0;

    if (hf_text_empty(text)) {
        return false;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return false;
        }
    }
    *ret = value;
    return true;
}

bool hf_parse_i64(const char *text, int64_t *ret)
{
    bool is_negative = text != NULL && *text == '-';
    uint64_t size;

    if (!hf_parse_u64(is_negative ? text + 1 : text, &size)) {
        return false;
    }
    if (is_negative) {
        return !__builtin_sub_overflow(0, size, ret);
    }
    return !__builtin_add_overflow(size, 0, ret);
}

char *hf_hex(struct hf_arena *arena, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes;

    HF_CHECK(len < SIZE_MAX / 2);
    char *text = hf_alloc(arena, 2 * len + 1);
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[at[i] >> 4];
        text[2 * i + 1] = digits[at[i] & 15];
    }
    return text;
}

/* 0..15, or -1. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hf_unhex(const char *text, void *ret_bytes, size_t len)
{
    uint8_t *out = ret_bytes;

    if (text == NULL || strlen(text) / 2 != len || strlen(text) % 2 != 0 ||
        strspn(text, "0123456789abcdefABCDEF") != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    }
    return true;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

int hf_text_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    int row[DISTANCE_MAX_LEN + 1];

    if (a_len > DISTANCE_MAX_LEN || b_len > DISTANCE_MAX_LEN) {
        return DISTANCE_CAP;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = (int)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int above = row[j];
            int change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = min_int(change, min_int(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return min_int(row[b_len], DISTANCE_CAP);
}

bool hf_is_name(const char *text)
{
    if (text == NULL || *text < 'a' || *text > 'z') {
        return false;
    }
    size_t len = strlen(text);
    return len <= NAME_MAX_LEN && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

char *hf_size_text(struct hf_arena *arena, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t whole = bytes;
    uint64_t rest = 0;

    if (bytes < 1024) {
        return hf_printf(arena, "%" PRIu64 " B", bytes);
    }
    for (; whole >= 1024 && unit < HF_LEN(units); unit++) {
        rest = whole % 1024;
        whole /= 1024;
    }
    return hf_printf(arena, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024, units[unit - 1]);
}

char *hf_shell_word(struct hf_arena *arena, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+,:=@%";
    static const char quote[] = "'\\''"; /* ends the word, a quote, goes on with it */
    const size_t len = strlen(text);

    if (len > 0 && strspn(text, plain) == len) {
        return hf_strdup(arena, text);
    }
    char *word = hf_alloc(arena, len * strlen(quote) + sizeof("''"));
    char *end = word;

    *end++ = '\'';
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            memcpy(end, quote, strlen(quote));
            end += strlen(quote);
        } else {
            *end++ = *text;
        }
    }
    memcpy(end, "'", sizeof("'"));
    return word;
}
