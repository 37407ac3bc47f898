/* The meaning of plain YAML scalars. Everything that is not clearly null, truth or decimal number
 * is text, so that a version such as 0x10 or a name such as "no" stays what was written. */
#include "codec/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const struct {
    const char *text;
    enum codec_kind kind;
    bool boolean;
} words[] = {
    {"", CODEC_NULL, false},      {"~", CODEC_NULL, false},     {"null", CODEC_NULL, false},
    {"Null", CODEC_NULL, false},  {"NULL", CODEC_NULL, false},  {"true", CODEC_BOOL, true},
    {"True", CODEC_BOOL, true},   {"TRUE", CODEC_BOOL, true},   {"false", CODEC_BOOL, false},
    {"False", CODEC_BOOL, false}, {"FALSE", CODEC_BOOL, false},
};

static const char digits[] = "0123456789";

/* [-+]?(digits[.digits?] | .digits)([eE][-+]?digits)? */
static bool is_number(const char *text, bool *ret_is_integer)
{
    const char *at = text + (*text == '-' || *text == '+' ? 1 : 0);
    size_t whole = strspn(at, digits);
    size_t fraction = 0;

    at += whole;
    *ret_is_integer = *at == '\0';
    if (*at == '.') {
        fraction = strspn(at + 1, digits);
        at += 1 + fraction;
    }
    if (whole + fraction == 0) {
        return false;
    }
    if (*at == 'e' || *at == 'E') {
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        size_t exponent = strspn(at, digits);
        return exponent > 0 && at[exponent] == '\0';
    }
    return *at == '\0';
}

const char *codec_scalar_resolve(const char *text, struct codec_value *ret_value)
{
    bool is_integer = false;

    *ret_value = (struct codec_value){.kind = CODEC_TEXT};
    for (size_t i = 0; i < HF_LEN(words); i++) {
        if (strcmp(text, words[i].text) == 0) {
            ret_value->kind = words[i].kind;
            ret_value->boolean = words[i].boolean;
            return NULL;
        }
    }
    if (!is_number(text, &is_integer)) {
        return NULL;
    }
    if (is_integer) {
        ret_value->kind = CODEC_INT;
        bool is_fit = hf_parse_i64(text + (*text == '+' ? 1 : 0), &ret_value->number);
        return is_fit ? NULL : "a number is out of range";
    }
    ret_value->kind = CODEC_DOUBLE;
    ret_value->real = strtod(text, NULL);
    return isfinite(ret_value->real) ? NULL : "a number is out of range";
}
