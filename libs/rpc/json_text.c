/* The lexical part of JSON: tokens, escapes, base64, durations. */
#include "rpc/json_text.h"

#include <string.h>

#define MAX_DURATION_SECONDS INT64_C(315576000000)

char rpc_json_peek(struct rpc_json_text *text)
{
    while (text->pos < text->all.len) {
        char c = text->all.ptr[text->pos];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return c;
        }
        text->pos++;
    }
    return '\0';
}

bool rpc_json_take(struct rpc_json_text *text, char c)
{
    if (rpc_json_peek(text) != c || text->pos == text->all.len) {
        return false;
    }
    text->pos++;
    return true;
}

bool rpc_json_token(struct rpc_json_text *text, struct hf_str *ret_token)
{
    static const char ends[] = " \t\r\n,:]}[{\"";
    (void)rpc_json_peek(text);
    size_t begin = text->pos;
    while (text->pos < text->all.len &&
           memchr(ends, text->all.ptr[text->pos], sizeof(ends)) == NULL) {
        text->pos++;
    }
    *ret_token = (struct hf_str){text->all.ptr + begin, text->pos - begin};
    return ret_token->len > 0;
}

bool rpc_json_null(struct rpc_json_text *text)
{
    struct rpc_json_text at = *text;
    struct hf_str token;
    if (!rpc_json_token(&at, &token) || !hf_str_equal(token, HF_STR("null"))) {
        return false;
    }
    *text = at;
    return true;
}

static bool read_hex4(struct rpc_json_text *text, uint32_t *ret_unit)
{
    uint8_t bytes[2];
    char digits[5] = "";
    if (text->all.len - text->pos < 4) {
        return false;
    }
    memcpy(digits, text->all.ptr + text->pos, 4);
    if (!hf_unhex(digits, bytes, sizeof(bytes))) {
        return false;
    }
    text->pos += 4;
    *ret_unit = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

/* UTF-16 escape, two of them for a character outside the basic plane. */
static bool read_unicode(struct rpc_json_text *text, uint32_t *ret_char)
{
    uint32_t low = 0;
    if (!read_hex4(text, ret_char)) {
        return false;
    }
    if (*ret_char < 0xd800 || *ret_char > 0xdfff) {
        return *ret_char != 0;
    }
    if (*ret_char > 0xdbff || text->all.len - text->pos < 2 ||
        memcmp(text->all.ptr + text->pos, "\\u", 2) != 0) {
        return false;
    }
    text->pos += 2;
    if (!read_hex4(text, &low) || low < 0xdc00 || low > 0xdfff) {
        return false;
    }
    *ret_char = 0x10000 + ((*ret_char - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* After a backslash. The result is never longer than its escape. */
static bool read_escape(struct rpc_json_text *text, uint32_t *ret_char)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (text->pos == text->all.len) {
        return false;
    }
    char c = text->all.ptr[text->pos++];
    if (c == 'u') {
        return read_unicode(text, ret_char);
    }
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found == NULL) {
        return false;
    }
    *ret_char = (uint32_t)to[found - from];
    return true;
}

static bool read_quoted(struct rpc_json_text *text, char *out, size_t *ret_len)
{
    size_t len = 0;
    while (text->pos < text->all.len) {
        uint32_t c = 0;
        char next = text->all.ptr[text->pos++];
        if (next == '"') {
            *ret_len = len;
            return true;
        }
        if (next != '\\') {
            if ((unsigned char)next < ' ') {
                return false;
            }
            out[len++] = next;
        } else if (read_escape(text, &c)) {
            len += put_utf8(out + len, c);
        } else {
            return false;
        }
    }
    return false;
}

/* Bytes up to the closing quote, escapes included: enough room for the result. */
static size_t quoted_len(const struct rpc_json_text *text)
{
    size_t i = text->pos;
    while (i < text->all.len && text->all.ptr[i] != '"') {
        i += text->all.ptr[i] == '\\' ? 2 : 1;
    }
    return i < text->all.len ? i - text->pos : text->all.len - text->pos;
}

bool rpc_json_string(struct rpc_json_text *text, struct hf_arena *arena, const char **ret_text)
{
    size_t len = 0;
    if (!rpc_json_take(text, '"')) {
        return false;
    }
    char *out = hf_try_alloc(arena, quoted_len(text) + 1);
    if (out == NULL || !read_quoted(text, out, &len) || !hf_is_utf8(out, len)) {
        return false;
    }
    out[len] = '\0';
    *ret_text = out;
    return true;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c == '\0' ? NULL : strchr(digits, c == '-' ? '+' : c == '_' ? '/' : c);
    return found == NULL ? -1 : (int)(found - digits);
}

bool rpc_json_base64(struct hf_arena *arena, const char *text, ProtobufCBinaryData *ret_bytes)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '=') {
        len--;
    }
    uint8_t *bytes = hf_try_alloc(arena, len * 3 / 4 + 1);
    size_t bytes_len = 0;
    uint32_t group = 0;
    unsigned bits = 0;
    if (bytes == NULL || len % 4 == 1 || strlen(text) - len > 2) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[bytes_len++] = (uint8_t)(group >> bits);
        }
    }
    *ret_bytes = (ProtobufCBinaryData){bytes_len, bytes};
    return true;
}

bool rpc_json_duration(const char *text, int64_t *ret_seconds, int32_t *ret_nanos)
{
    bool is_negative = text[0] == '-';
    int64_t seconds = 0;
    int32_t nanos = 0;
    int32_t place = 100000000;
    const char *at = text + (is_negative ? 1 : 0);
    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9' && seconds <= MAX_DURATION_SECONDS; at++) {
        seconds = seconds * 10 + (*at - '0');
    }
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9' && place > 0; at++, place /= 10) {
            nanos += (*at - '0') * place;
        }
    }
    if (strcmp(at, "s") != 0 || seconds > MAX_DURATION_SECONDS) {
        return false;
    }
    *ret_seconds = is_negative ? -seconds : seconds;
    *ret_nanos = is_negative ? -nanos : nanos;
    return true;
}
