/* The small part of AIP-160 that lists understand: field = "value" joined by AND. Pure. */
#ifndef HF_BACKUP_API_FILTER_H
#define HF_BACKUP_API_FILTER_H

#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"

#define FILTER_MAX 8

struct filter {
    struct hf_pair terms[FILTER_MAX];
    size_t len;
};

/* fields: the names that are allowed, NULL-terminated. INVALID_ARGUMENT reason INVALID_FILTER names
 * what was expected. */
struct hf_status filter_parse(struct hf_arena *arena, const char *text, const char *const fields[],
                              struct filter *ret_filter) HF_MUST_USE;
/* "" when the field is not compared. */
const char *filter_value(const struct filter *filter, const char *field);

#endif
