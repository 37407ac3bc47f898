/* UTF-8 of strangers: judged, cut at a character, shown to a person.
 *
 * Surprise: hf_text_show of what it gave is the same text (backslashes stay single), because
 * foreign bytes are made fit where they enter and again wherever a person sees them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

#define PIECE_MAX 16
#define CUT_MARK "\xe2\x80\xa6"
#define CUT_MARK_LEN (sizeof(CUT_MARK) - 1)

/* A form of UTF-8 sequence (RFC 3629: shortest form, no surrogates, at most U+10FFFF). Bytes after
 * the second are 0x80..0xbf. */
struct utf8_form {
    uint8_t first_min, first_max, second_min, second_max, len;
};

static const struct utf8_form utf8_forms[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool utf8_fits(const struct utf8_form *form, const uint8_t *text, size_t left)
{
    bool is_good = form->len <= left;

    for (size_t k = 1; is_good && k < form->len; k++) {
        uint8_t min = k == 1 ? form->second_min : 0x80;
        uint8_t max = k == 1 ? form->second_max : 0xbf;
        is_good = text[k] >= min && text[k] <= max;
    }
    return is_good;
}

/* Bytes of the sequence that begins at text, 0 when it is none. */
static size_t utf8_len(const uint8_t *text, size_t left)
{
    for (size_t i = 0; i < HF_LEN(utf8_forms); i++) {
        const struct utf8_form *form = &utf8_forms[i];
        if (text[0] >= form->first_min && text[0] <= form->first_max) {
            return utf8_fits(form, text, left) ? form->len : 0;
        }
    }
    return 0;
}

bool hf_is_utf8(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = utf8_len((const uint8_t *)text + at, len - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

size_t hf_utf8_cut(const char *text, size_t len, size_t max)
{
    size_t at = max;

    if (len <= max) {
        return len;
    }
    /* The first byte that goes may lie inside a character: up to three bytes before go with it. */
    for (size_t back = 1; back < 4 && back <= max; back++) {
        size_t first = max - back;
        if (utf8_len((const uint8_t *)text + first, len - first) > back) {
            at = first;
        }
    }
    return at;
}

size_t hf_json_step(const char *text, size_t left, char ret_text[HF_JSON_STEP])
{
    static const char digits[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    uint8_t byte = (uint8_t)text[0];
    size_t len = utf8_len((const uint8_t *)text, left);
    const char *known = byte == 0 ? NULL : strchr(plain, text[0]);

    memset(ret_text, 0, HF_JSON_STEP);
    if (len == 0) {
        memcpy(ret_text, "\xef\xbf\xbd", 3);
        return 1;
    }
    if (known != NULL) {
        ret_text[0] = '\\';
        ret_text[1] = letters[known - plain];
    } else if (byte < 0x20 || byte == 0x7f) {
        memcpy(ret_text, "\\u00", 4);
        ret_text[4] = digits[byte >> 4];
        ret_text[5] = digits[byte & 15];
    } else {
        memcpy(ret_text, text, len);
    }
    return len;
}

/* Characters that do something to the line instead of standing in it: controls, direction marks,
 * and what has no width. Ranges in order. */
static const struct {
    uint32_t first;
    uint32_t last;
} unseen[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f},   {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},
    {0x115f, 0x1160}, {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool is_unseen(uint32_t character)
{
    for (size_t i = 0; i < HF_LEN(unseen); i++) {
        if (character <= unseen[i].last) {
            return character >= unseen[i].first;
        }
    }
    return false;
}

static uint32_t utf8_value(const uint8_t *text, size_t len)
{
    static const uint8_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t value = text[0] & first_bits[len];

    for (size_t i = 1; i < len; i++) {
        value = value << 6 | (text[i] & 0x3fU);
    }
    return value;
}

/* The next character as a person may see it, NUL-terminated. Returns the bytes of text used. */
static size_t show_step(const uint8_t *text, size_t left, char ret_piece[PIECE_MAX])
{
    size_t len = utf8_len(text, left);

    memset(ret_piece, 0, PIECE_MAX);
    if (len == 0) {
        memcpy(ret_piece, "\xef\xbf\xbd", 3);
        return 1;
    }
    uint32_t value = utf8_value(text, len);
    if (!is_unseen(value)) {
        memcpy(ret_piece, text, len);
    } else if (value < 0x100) {
        (void)snprintf(ret_piece, PIECE_MAX, "\\x%02" PRIx32, value);
    } else {
        (void)snprintf(ret_piece, PIECE_MAX, "\\u{%" PRIX32 "}", value);
    }
    return len;
}

size_t hf_text_show_in(char *ret_shown, size_t max_bytes, const char *text, size_t len)
{
    size_t out = 0;
    size_t cut = 0; /* where the mark still fits */
    char piece[PIECE_MAX];

    for (size_t at = 0; at < len;) {
        at += show_step((const uint8_t *)text + at, len - at, piece);
        size_t piece_len = strlen(piece);
        if (piece_len > max_bytes - out) {
            size_t mark_len = max_bytes < CUT_MARK_LEN ? 0 : CUT_MARK_LEN;
            memcpy(ret_shown + cut, CUT_MARK, mark_len);
            ret_shown[cut + mark_len] = '\0';
            return cut + mark_len;
        }
        memcpy(ret_shown + out, piece, piece_len);
        out += piece_len;
        cut = max_bytes >= CUT_MARK_LEN && out <= max_bytes - CUT_MARK_LEN ? out : cut;
    }
    ret_shown[out] = '\0';
    return out;
}

char *hf_text_show(struct hf_arena *arena, const char *text, size_t len, size_t max_bytes)
{
    size_t room = len > max_bytes / 4 ? max_bytes : 4 * len; /* "\x00" is the worst */
    char *shown = hf_alloc(arena, room + 1);

    (void)hf_text_show_in(shown, room, text, len);
    return shown;
}
