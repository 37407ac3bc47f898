/* Text of the field types. A number with a unit has exactly one unit: "90s", not "1m30s". */
#include "svc/value.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define TEXT_MAX_BYTES 4096

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
};

static const struct unit time_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", HF_US_PER_S},
    {"m", 60 * HF_US_PER_S},
    {"h", 3600 * HF_US_PER_S},
    {"d", 86400 * HF_US_PER_S},
};

static bool parse_unit(const char *text, const struct unit *units, size_t len, int64_t *ret)
{
    char digits[24];
    size_t count = strspn(text, "0123456789");
    const char *name = text + count;
    int64_t number;

    if (count == 0 || count >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, text, count);
    digits[count] = '\0';
    if (!hf_parse_i64(digits, &number)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (strcmp(name, units[i].name) == 0) {
            return !__builtin_mul_overflow(number, units[i].factor, ret);
        }
    }
    return false;
}

bool svc_parse_size(const char *text, int64_t *ret_bytes)
{
    return parse_unit(text, size_units, HF_LEN(size_units), ret_bytes);
}

bool svc_parse_duration(const char *text, int64_t *ret_us)
{
    return parse_unit(text, time_units, HF_LEN(time_units), ret_us);
}

static bool parse_number(enum svc_type type, const char *text, int64_t *ret)
{
    switch (type) {
    case SVC_INT:
        return hf_parse_i64(text, ret);
    case SVC_SIZE:
        return svc_parse_size(text, ret);
    case SVC_DURATION:
        return svc_parse_duration(text, ret);
    case SVC_TEXT:
    case SVC_LIST:
    case SVC_BOOL:
        break;
    }
    return false;
}

static bool has_limits(const struct svc_field *field)
{
    return field->min != 0 || field->max != 0;
}

static bool is_within(const struct svc_field *field, int64_t value)
{
    return !has_limits(field) || (value >= field->min && value <= field->max);
}

static bool store_text(struct hf_arena *arena, const struct svc_field *field, const char *text,
                       void *member)
{
    size_t len = strlen(text);
    const char **target = member;

    if ((len > TEXT_MAX_BYTES && !has_limits(field)) || !is_within(field, (int64_t)len)) {
        return false;
    }
    *target = hf_strdup(arena, text);
    return true;
}

static bool store_bool(const char *text, void *member)
{
    bool *target = member;
    bool is_true = strcmp(text, "true") == 0;

    if (!is_true && strcmp(text, "false") != 0) {
        return false;
    }
    *target = is_true;
    return true;
}

bool svc_value_store(struct hf_arena *arena, const struct svc_field *field, const char *text,
                     void *config)
{
    void *member = (uint8_t *)config + field->offset;
    int64_t *number = member;
    int64_t value = 0;

    if (field->type == SVC_TEXT || field->type == SVC_LIST) {
        return store_text(arena, field, text, member);
    }
    if (field->type == SVC_BOOL) {
        return store_bool(text, member);
    }
    if (!parse_number(field->type, text, &value) || !is_within(field, value)) {
        return false;
    }
    *number = value;
    return true;
}

static const char *limit_text(struct hf_arena *arena, enum svc_type type, int64_t value)
{
    if (type == SVC_SIZE) {
        return hf_size_text(arena, (uint64_t)value);
    }
    if (type == SVC_DURATION) {
        return hf_duration_text(arena, value);
    }
    return hf_printf(arena, "%" PRId64, value);
}

const char *svc_value_expected(struct hf_arena *arena, const struct svc_field *field)
{
    static const char *const what[] = {
        [SVC_TEXT] = "a text",
        [SVC_LIST] = "a list, a comma between entries,",
        [SVC_INT] = "a number",
        [SVC_BOOL] = "true or false",
        [SVC_SIZE] = "a size such as 64MiB",
        [SVC_DURATION] = "a time span such as 30s",
    };

    if (field->type == SVC_BOOL || !has_limits(field)) {
        return what[field->type];
    }
    return hf_printf(arena, "%s%s from %s to %s%s", what[field->type],
                     field->type == SVC_SIZE || field->type == SVC_DURATION ? "," : "",
                     limit_text(arena, field->type, field->min),
                     limit_text(arena, field->type, field->max),
                     field->type == SVC_TEXT || field->type == SVC_LIST ? " bytes" : "");
}

const char *svc_value_placeholder(enum svc_type type)
{
    static const char *const names[] = {
        [SVC_TEXT] = " TEXT", [SVC_LIST] = " LIST", [SVC_INT] = " N",
        [SVC_BOOL] = "",      [SVC_SIZE] = " SIZE", [SVC_DURATION] = " TIME",
    };

    return names[type];
}
