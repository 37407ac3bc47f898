/* Filters of lists. */
#include "backup/api/filter.h"

#include <string.h>

#include "base/str.h"

struct scan {
    struct hf_arena *arena;
    const char *p;
};

static void skip_space(struct scan *scan)
{
    scan->p += strspn(scan->p, " \t");
}

static const char *take_span(struct scan *scan, const char *accept)
{
    size_t len = strspn(scan->p, accept);
    const char *word = hf_strndup(scan->arena, scan->p, len);

    scan->p += len;
    skip_space(scan);
    return word;
}

/* "value" or a bare word; NULL when there is neither. */
static const char *take_value(struct scan *scan)
{
    if (*scan->p != '"') {
        const char *word = take_span(scan, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                           "0123456789_-./");
        return *word == '\0' ? NULL : word;
    }
    size_t len = strcspn(scan->p + 1, "\"\\");

    if (scan->p[1 + len] != '"') {
        return NULL;
    }
    const char *value = hf_strndup(scan->arena, scan->p + 1, len);
    scan->p += len + 2;
    skip_space(scan);
    return value;
}

static bool is_allowed(const char *const fields[], const char *field)
{
    for (size_t i = 0; fields[i] != NULL; i++) {
        if (hf_text_equal(fields[i], field)) {
            return true;
        }
    }
    return false;
}

static bool take_term(struct scan *scan, const char *const fields[], struct hf_pair *ret_term)
{
    const char *field = take_span(scan, "abcdefghijklmnopqrstuvwxyz_");

    if (!is_allowed(fields, field) || *scan->p != '=') {
        return false;
    }
    scan->p++;
    skip_space(scan);
    const char *value = take_value(scan);

    if (value == NULL) {
        return false;
    }
    *ret_term = (struct hf_pair){field, value};
    return true;
}

static struct hf_status refuse(struct hf_arena *arena, const char *const fields[])
{
    const char *names = fields[0];

    for (size_t i = 1; fields[i] != NULL; i++) {
        names = hf_printf(arena, "%s, %s", names, fields[i]);
    }
    return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_FILTER", NULL,
                        "filter must be comparisons like %s = \"…\" joined by AND, of: %s",
                        fields[0], names);
}

struct hf_status filter_parse(struct hf_arena *arena, const char *text, const char *const fields[],
                              struct filter *ret_filter)
{
    struct filter filter = {.len = 0};
    struct scan scan = {arena, text == NULL ? "" : text};

    skip_space(&scan);
    while (*scan.p != '\0') {
        if (filter.len == FILTER_MAX || !take_term(&scan, fields, &filter.terms[filter.len])) {
            return refuse(arena, fields);
        }
        filter.len++;
        if (*scan.p == '\0') {
            break;
        }
        if (strncmp(scan.p, "AND ", 4) != 0) {
            return refuse(arena, fields);
        }
        scan.p += 4;
        skip_space(&scan);
        if (*scan.p == '\0') {
            return refuse(arena, fields);
        }
    }
    *ret_filter = filter;
    return hf_success();
}

const char *filter_value(const struct filter *filter, const char *field)
{
    for (size_t i = 0; i < filter->len; i++) {
        if (hf_text_equal(filter->terms[i].key, field)) {
            return filter->terms[i].value;
        }
    }
    return "";
}
