/* Parameters: text as it is (the server infers the type), timestamps and bytea in binary. */
#include "db/params.h"

#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"

#define TIMESTAMPTZ_OID 1184
#define BYTEA_OID 17
#define LIST_MAX_BYTES (16 * 1024 * 1024)

static void set_text(struct db_wire *wire, int i, const char *text)
{
    wire->types[i] = 0;
    wire->values[i] = text;
    wire->lengths[i] = 0;
    wire->formats[i] = 0;
}

static void set_binary(struct db_wire *wire, int i, unsigned type, const void *bytes, int len)
{
    wire->types[i] = type;
    wire->values[i] = bytes;
    wire->lengths[i] = len;
    wire->formats[i] = 1;
}

static struct hf_status set_time(struct hf_arena *arena, struct db_wire *wire, int i,
                                 int64_t time_us)
{
    if (time_us == 0) {
        set_binary(wire, i, TIMESTAMPTZ_OID, NULL, 0);
        return hf_success();
    }
    if (time_us != INT64_MAX && !hf_time_in_range(time_us)) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "TIME_RANGE", NULL,
                            "a time lies outside the years 1 to 9999");
    }
    uint64_t value = (uint64_t)(time_us == INT64_MAX ? time_us : time_us - HF_PG_EPOCH_US);
    uint8_t *bytes = hf_alloc(arena, 8);
    for (int k = 0; k < 8; k++) {
        bytes[k] = (uint8_t)(value >> (56 - 8 * k));
    }
    set_binary(wire, i, TIMESTAMPTZ_OID, bytes, 8);
    return hf_success();
}

static void append_item(struct hf_buf *buf, const char *item)
{
    if (item == NULL) {
        hf_buf_text_append(buf, "NULL");
        return;
    }
    hf_buf_append(buf, "\"", 1);
    for (const char *c = item; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            hf_buf_append(buf, "\\", 1);
        }
        hf_buf_append(buf, c, 1);
    }
    hf_buf_append(buf, "\"", 1);
}

/* {"a","b",NULL}: PostgreSQL's own text form of an array. */
static struct hf_status set_list(struct hf_arena *arena, struct db_wire *wire, int i,
                                 const struct db_param *param)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const char *const *items = param->ptr;

    hf_buf_init(&buf, LIST_MAX_BYTES);
    hf_buf_append(&buf, "{", 1);
    for (size_t k = 0; k < param->len; k++) {
        if (k > 0) {
            hf_buf_append(&buf, ",", 1);
        }
        append_item(&buf, items[k]);
    }
    hf_buf_append(&buf, "}", 1);
    HF_TRY(hf_buf_status(&buf, arena, "a list parameter"));
    set_text(wire, i, hf_strndup(arena, (const char *)buf.ptr, buf.len));
    return hf_success();
}

static struct hf_status encode_one(struct hf_arena *arena, struct db_wire *wire, int i,
                                   const struct db_param *param)
{
    switch (param->kind) {
    case DB_KIND_TEXT:
        set_text(wire, i, param->ptr);
        return hf_success();
    case DB_KIND_INT:
        set_text(wire, i, hf_printf(arena, "%lld", (long long)param->number));
        return hf_success();
    case DB_KIND_BOOL:
        set_text(wire, i, param->number != 0 ? "t" : "f");
        return hf_success();
    case DB_KIND_TIME:
        return set_time(arena, wire, i, param->number);
    case DB_KIND_BYTES:
        if (param->len > INT_MAX / 2) {
            return hf_fail(arena, HF_INVALID_ARGUMENT, "a value of %zu bytes is too large",
                           param->len);
        }
        set_binary(wire, i, BYTEA_OID, param->ptr, (int)param->len);
        return hf_success();
    case DB_KIND_LIST:
        return set_list(arena, wire, i, param);
    }
    HF_CHECK(false);
    return hf_success();
}

struct hf_status db_params_encode(struct hf_arena *arena, const struct db_param *params,
                                  size_t params_len, struct db_wire *ret_wire)
{
    HF_CHECK(params_len <= DB_PARAMS_MAX);
    ret_wire->len = (int)params_len;
    for (size_t i = 0; i < params_len; i++) {
        HF_TRY(encode_one(arena, ret_wire, (int)i, &params[i]));
    }
    return hf_success();
}
