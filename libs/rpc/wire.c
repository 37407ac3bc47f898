/* Protobuf's wire format. Groups (wire types 3 and 4) are refused: nobody writes them any more
 * and they would nest without a length. */
#include "rpc/wire.h"

#include <string.h>

static uint64_t load_le(const uint8_t *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = len; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

struct rpc_wire rpc_wire_of(struct hf_bytes bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *begin = bytes.len > 0 ? bytes.ptr : nothing;
    return (struct rpc_wire){begin, begin + bytes.len};
}

bool rpc_wire_varint(struct rpc_wire *wire, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (wire->pos == wire->end) {
            return false;
        }
        uint8_t byte = *wire->pos++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct rpc_wire *wire, size_t len, uint64_t *ret_value)
{
    if ((size_t)(wire->end - wire->pos) < len) {
        return false;
    }
    *ret_value = load_le(wire->pos, len);
    wire->pos += len;
    return true;
}

static bool read_content(struct rpc_wire *wire, struct hf_bytes *ret_content)
{
    uint64_t len = 0;
    if (!rpc_wire_varint(wire, &len) || len > (uint64_t)(wire->end - wire->pos)) {
        return false;
    }
    *ret_content = (struct hf_bytes){wire->pos, (size_t)len};
    wire->pos += len;
    return true;
}

bool rpc_wire_next(struct rpc_wire *wire, struct rpc_wire_field *ret_field)
{
    struct rpc_wire at = *wire;
    struct rpc_wire_field field = {0};
    uint64_t tag = 0;
    bool is_read = false;
    if (!rpc_wire_varint(&at, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return false;
    }
    field.id = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case RPC_WIRE_VARINT:
        field.type = RPC_WIRE_VARINT;
        is_read = rpc_wire_varint(&at, &field.number);
        break;
    case RPC_WIRE_64:
        field.type = RPC_WIRE_64;
        is_read = read_fixed(&at, 8, &field.number);
        break;
    case RPC_WIRE_LEN:
        field.type = RPC_WIRE_LEN;
        is_read = read_content(&at, &field.content);
        break;
    case RPC_WIRE_32:
        field.type = RPC_WIRE_32;
        is_read = read_fixed(&at, 4, &field.number);
        break;
    default:
        break;
    }
    if (!is_read) {
        return false;
    }
    *wire = at;
    *ret_field = field;
    return true;
}

bool rpc_text_is_valid(struct hf_bytes text)
{
    const void *bytes = text.ptr;
    return text.len == 0 || (memchr(bytes, 0, text.len) == NULL && hf_is_utf8(bytes, text.len));
}
