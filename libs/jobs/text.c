/* Foreign text on its way into a row: the database refuses what is not UTF-8, and a refused error
 * message must not keep a job from ending. */
#include <string.h>

#include "jobs/internal.h"

const char *jobs_clean(struct hf_arena *arena, const char *text, size_t max)
{
    /* Not a byte more than it takes to see that it is too long: the rest may be endless. */
    return hf_text_show(arena, text, strnlen(text, max + 4), max);
}
