/* Views and growable bytes. NUL-terminated text only at foreign APIs. */
#ifndef HF_BASE_STR_H
#define HF_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct hf_str {
    const char *ptr;
    size_t len;
};

/* Bytes view, for binary. */
struct hf_bytes {
    const uint8_t *ptr;
    size_t len;
};

#define HF_STR(literal) ((struct hf_str){(literal), sizeof(literal) - 1})
/* What a macro of a number stands for, as text. */
#define HF_NUMBER_TEXT_(number) #number
#define HF_NUMBER_TEXT(macro) HF_NUMBER_TEXT_(macro)

struct hf_str hf_str_of(const char *text); /* NULL is empty */
bool hf_str_equal(struct hf_str a, struct hf_str b);
bool hf_text_equal(const char *a, const char *b); /* both may be NULL; NULL equals NULL only */
bool hf_has_prefix(const char *text, const char *prefix);
bool hf_has_suffix(const char *text, const char *suffix);
bool hf_text_empty(const char *text); /* NULL or "" */

/* Whole text as a number of base 10; false on anything else, also on overflow. */
bool hf_parse_u64(const char *text, uint64_t *ret);
bool hf_parse_i64(const char *text, int64_t *ret);

char *hf_hex(struct hf_arena *arena, const void *bytes, size_t len); /* lower case */
/* Exactly len bytes from 2*len hex digits; false otherwise. */
bool hf_unhex(const char *text, void *ret_bytes, size_t len);

/* Edit distance capped at 8, for "did you mean". Pure. */
int hf_text_distance(const char *a, const char *b);

/* Product names: [a-z][a-z0-9-]{0,39}. */
bool hf_is_name(const char *text);

/* Well-formed UTF-8 (RFC 3629)? Pure. */
bool hf_is_utf8(const char *text, size_t len);

/* The longest beginning of text, at most max bytes, that does not end inside a character. Pure. */
size_t hf_utf8_cut(const char *text, size_t len, size_t max);

/* One word for a shell, quoted where that is needed. */
char *hf_shell_word(struct hf_arena *arena, const char *text);

/* Foreign text as a person may see it, at most max_bytes: valid UTF-8 (a byte that is none becomes
 * U+FFFD), cut at a character with "…", control characters as \x1b, what turns the direction or
 * has no width as \u{202E}. NUL-terminated in arena. Shown twice it is the same. */
#define HF_SHOWN_MAX 1024
char *hf_text_show(struct hf_arena *arena, const char *text, size_t len, size_t max_bytes);

/* The same into ret_shown, which has room for max_bytes and the NUL. Returns its length. Pure. */
size_t hf_text_show_in(char *ret_shown, size_t max_bytes, const char *text, size_t len);

/* The next character of text (left ≥ 1 bytes) as it stands in a JSON string, NUL-terminated in
 * ret_text; a byte that is no UTF-8 becomes U+FFFD. Returns the bytes of text used. Pure. */
#define HF_JSON_STEP 8
size_t hf_json_step(const char *text, size_t left, char ret_text[HF_JSON_STEP]);

/* "1.2 GiB". */
char *hf_size_text(struct hf_arena *arena, uint64_t bytes);

#endif
