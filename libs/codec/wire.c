/* The binary record form. Surprise: varints have one spelling only (shortest), because records are
 * hashed and signed, and two spellings of one value would be two digests of one fact. */
#include "codec/wire.h"

#include <string.h>

#define VARINT_MAX_BYTES 10

void codec_wire_put_u8(struct hf_buf *buf, uint8_t value)
{
    hf_buf_append(buf, &value, 1);
}

void codec_wire_put_bool(struct hf_buf *buf, bool value)
{
    codec_wire_put_u8(buf, value ? 1 : 0);
}

void codec_wire_put_u64(struct hf_buf *buf, uint64_t value)
{
    uint8_t bytes[VARINT_MAX_BYTES];
    size_t len = 0;

    while (value >= 0x80) {
        bytes[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (uint8_t)value;
    hf_buf_append(buf, bytes, len);
}

void codec_wire_put_i64(struct hf_buf *buf, int64_t value)
{
    uint64_t sign = value < 0 ? UINT64_MAX : 0;

    codec_wire_put_u64(buf, ((uint64_t)value << 1) ^ sign);
}

void codec_wire_put_be32(struct hf_buf *buf, uint32_t value)
{
    uint8_t bytes[4];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
    hf_buf_append(buf, bytes, sizeof(bytes));
}

void codec_wire_put_be64(struct hf_buf *buf, uint64_t value)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    }
    hf_buf_append(buf, bytes, sizeof(bytes));
}

void codec_wire_put_raw(struct hf_buf *buf, const void *bytes, size_t len)
{
    hf_buf_append(buf, bytes, len);
}

void codec_wire_put_bytes(struct hf_buf *buf, const void *bytes, size_t len)
{
    codec_wire_put_u64(buf, len);
    hf_buf_append(buf, bytes, len);
}

void codec_wire_put_text(struct hf_buf *buf, const char *text)
{
    codec_wire_put_bytes(buf, text, text == NULL ? 0 : strlen(text));
}

struct codec_wire codec_wire_open(const void *bytes, size_t len)
{
    return (struct codec_wire){.ptr = bytes, .len = len};
}

size_t codec_wire_left(const struct codec_wire *wire)
{
    return wire->fault != NULL ? 0 : wire->len - wire->pos;
}

void codec_wire_fault(struct codec_wire *wire, const char *fault)
{
    if (wire->fault == NULL) {
        wire->fault = fault;
    }
}

struct hf_bytes codec_wire_get_view(struct codec_wire *wire, size_t len)
{
    if (len > codec_wire_left(wire)) {
        codec_wire_fault(wire, "the record ends early");
        return (struct hf_bytes){NULL, 0};
    }
    if (len == 0) {
        return (struct hf_bytes){NULL, 0};
    }
    struct hf_bytes view = {wire->ptr + wire->pos, len};
    wire->pos += len;
    return view;
}

uint8_t codec_wire_get_u8(struct codec_wire *wire)
{
    struct hf_bytes view = codec_wire_get_view(wire, 1);

    return view.len == 0 ? 0 : view.ptr[0];
}

bool codec_wire_get_bool(struct codec_wire *wire)
{
    uint8_t value = codec_wire_get_u8(wire);

    if (value > 1) {
        codec_wire_fault(wire, "a truth value is neither 0 nor 1");
    }
    return value == 1;
}

/* One more varint byte into *value; false when the varint is over or broken. */
static bool take_varint_byte(struct codec_wire *wire, size_t index, uint64_t *value)
{
    uint8_t byte = codec_wire_get_u8(wire);

    if (index == VARINT_MAX_BYTES - 1 && byte > 1) {
        codec_wire_fault(wire, "a number is larger than 64 bits");
        return false;
    }
    if (index > 0 && byte == 0) {
        codec_wire_fault(wire, "a number is not in its shortest form");
        return false;
    }
    *value |= (uint64_t)(byte & 0x7f) << (7 * index);
    return byte >= 0x80;
}

uint64_t codec_wire_get_u64(struct codec_wire *wire)
{
    uint64_t value = 0;

    for (size_t i = 0; i < VARINT_MAX_BYTES; i++) {
        if (!take_varint_byte(wire, i, &value)) {
            break;
        }
    }
    return wire->fault != NULL ? 0 : value;
}

int64_t codec_wire_get_i64(struct codec_wire *wire)
{
    uint64_t value = codec_wire_get_u64(wire);
    uint64_t sign = (value & 1) != 0 ? UINT64_MAX : 0;
    uint64_t bits = (value >> 1) ^ sign;
    int64_t result;

    memcpy(&result, &bits, sizeof(result));
    return result;
}

uint32_t codec_wire_get_be32(struct codec_wire *wire)
{
    struct hf_bytes view = codec_wire_get_view(wire, 4);
    uint32_t value = 0;

    for (size_t i = 0; i < view.len; i++) {
        value = (value << 8) | view.ptr[i];
    }
    return value;
}

uint64_t codec_wire_get_be64(struct codec_wire *wire)
{
    struct hf_bytes view = codec_wire_get_view(wire, 8);
    uint64_t value = 0;

    for (size_t i = 0; i < view.len; i++) {
        value = (value << 8) | view.ptr[i];
    }
    return value;
}

uint64_t codec_wire_get_max(struct codec_wire *wire, uint64_t max)
{
    uint64_t value = codec_wire_get_u64(wire);

    if (value > max) {
        codec_wire_fault(wire, "a number is larger than its limit");
        return 0;
    }
    return value;
}

size_t codec_wire_get_count(struct codec_wire *wire, size_t max, size_t item_bytes)
{
    uint64_t count = codec_wire_get_max(wire, max);

    if (count > codec_wire_left(wire) / item_bytes) {
        codec_wire_fault(wire, "a count is larger than the bytes that follow");
        return 0;
    }
    return (size_t)count;
}

void codec_wire_get_raw(struct codec_wire *wire, void *ret_bytes, size_t len)
{
    struct hf_bytes view = codec_wire_get_view(wire, len);

    if (view.len == len && len > 0) {
        memcpy(ret_bytes, view.ptr, len);
    } else if (len > 0) {
        memset(ret_bytes, 0, len);
    }
}

struct hf_bytes codec_wire_get_bytes(struct codec_wire *wire, size_t max)
{
    size_t len = codec_wire_get_count(wire, max, 1);

    return codec_wire_get_view(wire, len);
}

const char *codec_wire_get_text(struct codec_wire *wire, struct hf_arena *arena, size_t max)
{
    struct hf_bytes view = codec_wire_get_bytes(wire, max);

    if (view.len == 0) {
        return "";
    }
    if (memchr(view.ptr, 0, view.len) != NULL) {
        codec_wire_fault(wire, "a text has a zero byte");
        return "";
    }
    char *text = hf_try_alloc(arena, view.len + 1);
    if (text == NULL) {
        codec_wire_fault(wire, "the record needs more memory than allowed");
        return "";
    }
    memcpy(text, view.ptr, view.len);
    text[view.len] = '\0';
    return text;
}

struct hf_status codec_wire_status(const struct codec_wire *wire, struct hf_arena *arena,
                                   const char *what)
{
    if (wire->fault == NULL) {
        return hf_success();
    }
    return hf_fail(arena, HF_DATA_LOSS, "%s: %s at byte %zu", what, wire->fault, wire->pos);
}

struct hf_status codec_wire_finish(const struct codec_wire *wire, struct hf_arena *arena,
                                   const char *what)
{
    HF_TRY(codec_wire_status(wire, arena, what));
    if (wire->pos != wire->len) {
        return hf_fail(arena, HF_DATA_LOSS, "%s: %zu bytes follow its end", what,
                       wire->len - wire->pos);
    }
    return hf_success();
}
