/* Protobuf's wire format, one field at a time, with every length checked. Inside libs/rpc only. */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum rpc_wire_type {
    RPC_WIRE_VARINT = 0,
    RPC_WIRE_64 = 1,
    RPC_WIRE_LEN = 2,
    RPC_WIRE_32 = 5,
};

struct rpc_wire {
    const uint8_t *pos;
    const uint8_t *end;
};

struct rpc_wire_field {
    uint32_t id;
    enum rpc_wire_type type;
    uint64_t number;         /* VARINT, 64 and 32 */
    struct hf_bytes content; /* LEN */
};

struct rpc_wire rpc_wire_of(struct hf_bytes bytes);
bool rpc_wire_varint(struct rpc_wire *wire, uint64_t *ret_value);
/* The next field with its value. False at the end and on malformed input, groups included:
 * the input was well-formed when pos == end. */
bool rpc_wire_next(struct rpc_wire *wire, struct rpc_wire_field *ret_field);
/* UTF-8 without NUL. */
bool rpc_text_is_valid(struct hf_bytes text);

#endif
