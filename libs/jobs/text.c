/* Foreign text on its way into a row: the database refuses what is not UTF-8, and a refused error
 * message must not keep a job from ending. */
#include <string.h>

#include "jobs/internal.h"

/* Length of the UTF-8 sequence at text (1 … 4), 0 when there is none. Overlong forms and
 * surrogates are refused like PostgreSQL does. */
static size_t sequence_len(const unsigned char *text)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t len;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high) {
            continue;
        }
        bool is_valid = forms[i].len == 1 ||
                        (text[1] >= forms[i].second_low && text[1] <= forms[i].second_high);
        for (size_t k = 2; is_valid && k < forms[i].len; k++) {
            is_valid = (text[k] & 0xc0) == 0x80;
        }
        return is_valid ? forms[i].len : 0;
    }
    return 0;
}

const char *jobs_clean(struct hf_arena *arena, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *clean = hf_alloc(arena, len + 1);
    size_t used = 0;

    for (size_t i = 0; i < len;) {
        size_t step = sequence_len((const unsigned char *)text + i);
        if (step > len - i) {
            break; /* the last character does not fit */
        }
        if (step == 0) {
            clean[used++] = '?';
            i++;
            continue;
        }
        memcpy(clean + used, text + i, step);
        used += step;
        i += step;
    }
    return clean;
}
