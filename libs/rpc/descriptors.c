/* Look-ups in the serialized descriptor set, without building it: the field numbers below are
 * those of google/protobuf/descriptor.proto. */
#include "rpc/descriptors.h"

#include <string.h>

#include "proto/descriptors.h"
#include "rpc/wire.h"

enum {
    SET_FILE = 1,
    NAME = 1, /* the same number in every descriptor */
    FILE_PACKAGE = 2,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    MESSAGE_EXTENSION = 6,
    MESSAGE_ONEOF = 8,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
    METHOD_CLIENT_STREAMS = 5,
    METHOD_SERVER_STREAMS = 6,
    FIELD_EXTENDEE = 2,
    FIELD_NUMBER = 3,
};

/* What may lie inside what. Values of an enum are named beside it, not inside: that is how the
 * protobuf language scopes them. */
enum scope { IN_FILE, IN_MESSAGE, IN_ENUM, IN_SERVICE, IN_LEAF };

static const struct {
    enum scope outer;
    uint32_t field;
    enum scope inner;
} children[] = {
    {IN_FILE, FILE_MESSAGE, IN_MESSAGE},      {IN_FILE, FILE_ENUM, IN_ENUM},
    {IN_FILE, FILE_SERVICE, IN_SERVICE},      {IN_FILE, FILE_EXTENSION, IN_LEAF},
    {IN_MESSAGE, MESSAGE_NESTED, IN_MESSAGE}, {IN_MESSAGE, MESSAGE_ENUM, IN_ENUM},
    {IN_MESSAGE, MESSAGE_FIELD, IN_LEAF},     {IN_MESSAGE, MESSAGE_EXTENSION, IN_LEAF},
    {IN_MESSAGE, MESSAGE_ONEOF, IN_LEAF},     {IN_ENUM, ENUM_VALUE, IN_LEAF},
    {IN_SERVICE, SERVICE_METHOD, IN_LEAF},
};

struct hf_bytes rpc_descriptor_set(void)
{
    size_t len = 0;
    const uint8_t *bytes = proto_descriptor_set(&len);
    return (struct hf_bytes){bytes, len};
}

static struct hf_str text_field(struct hf_bytes message, uint32_t id)
{
    struct rpc_wire wire = rpc_wire_of(message);
    struct rpc_wire_field field;
    while (rpc_wire_next(&wire, &field)) {
        if (field.id == id && field.type == RPC_WIRE_LEN) {
            const void *text = field.content.ptr;
            return (struct hf_str){text, field.content.len};
        }
    }
    return HF_STR("");
}

static uint64_t number_field(struct hf_bytes message, uint32_t id)
{
    struct rpc_wire wire = rpc_wire_of(message);
    struct rpc_wire_field field;
    while (rpc_wire_next(&wire, &field)) {
        if (field.id == id && field.type == RPC_WIRE_VARINT) {
            return field.number;
        }
    }
    return 0;
}

/* Next embedded message of field id. */
static bool next_message(struct rpc_wire *wire, uint32_t id, struct hf_bytes *ret_message)
{
    struct rpc_wire_field field;
    while (rpc_wire_next(wire, &field)) {
        if (field.id == id && field.type == RPC_WIRE_LEN) {
            *ret_message = field.content;
            return true;
        }
    }
    return false;
}

static bool find_child(enum scope *scope, struct hf_bytes *at, struct hf_str name)
{
    for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
        struct rpc_wire wire = rpc_wire_of(*at);
        struct hf_bytes child;
        while (children[i].outer == *scope && next_message(&wire, children[i].field, &child)) {
            if (hf_str_equal(text_field(child, NAME), name)) {
                *scope = children[i].inner;
                *at = child;
                return true;
            }
        }
    }
    return false;
}

/* Whether one of the enums directly in at has a value of this name. */
static bool has_enum_value(enum scope scope, struct hf_bytes at, struct hf_str name)
{
    struct rpc_wire wire = rpc_wire_of(at);
    struct hf_bytes child;
    uint32_t field = scope == IN_FILE ? FILE_ENUM : MESSAGE_ENUM;
    while (scope <= IN_MESSAGE && next_message(&wire, field, &child)) {
        enum scope inner = IN_ENUM;
        if (find_child(&inner, &child, name)) {
            return true;
        }
    }
    return false;
}

/* Whether file declares the rest of a symbol after its package. */
static bool file_declares(struct hf_bytes file, const char *rest)
{
    enum scope scope = IN_FILE;
    struct hf_bytes at = file;
    while (true) {
        size_t len = strcspn(rest, ".");
        struct hf_str name = {rest, len};
        if (scope == IN_ENUM || !find_child(&scope, &at, name)) {
            return rest[len] == '\0' && has_enum_value(scope, at, name);
        }
        if (rest[len] == '\0') {
            return true;
        }
        rest += len + 1;
    }
}

bool rpc_descriptor_file(const char *name, struct hf_bytes *ret_file)
{
    struct rpc_wire wire = rpc_wire_of(rpc_descriptor_set());
    struct hf_bytes file;
    while (next_message(&wire, SET_FILE, &file)) {
        if (hf_str_equal(text_field(file, NAME), hf_str_of(name))) {
            *ret_file = file;
            return true;
        }
    }
    return false;
}

bool rpc_descriptor_symbol(const char *symbol, struct hf_bytes *ret_file)
{
    struct rpc_wire wire = rpc_wire_of(rpc_descriptor_set());
    struct hf_bytes file;
    size_t symbol_len = strlen(symbol);
    while (next_message(&wire, SET_FILE, &file)) {
        struct hf_str package = text_field(file, FILE_PACKAGE);
        size_t skip = package.len == 0 ? 0 : package.len + 1;
        bool is_inside = symbol_len > skip && (skip == 0 || symbol[package.len] == '.') &&
                         memcmp(symbol, package.ptr, package.len) == 0;
        if (is_inside && file_declares(file, symbol + skip)) {
            *ret_file = file;
            return true;
        }
    }
    return false;
}

/* Only extensions at file level: options are declared there. */
static bool next_extension(struct rpc_wire *wire, const char *type, int32_t *ret_number)
{
    struct hf_bytes extension;
    while (next_message(wire, FILE_EXTENSION, &extension)) {
        struct hf_str extendee = text_field(extension, FIELD_EXTENDEE);
        if (extendee.len > 1 && extendee.ptr[0] == '.') {
            extendee = (struct hf_str){extendee.ptr + 1, extendee.len - 1};
        }
        if (hf_str_equal(extendee, hf_str_of(type))) {
            *ret_number = (int32_t)number_field(extension, FIELD_NUMBER);
            return true;
        }
    }
    return false;
}

bool rpc_descriptor_extension(const char *type, int number, struct hf_bytes *ret_file)
{
    struct rpc_wire files = rpc_wire_of(rpc_descriptor_set());
    struct hf_bytes file;
    while (next_message(&files, SET_FILE, &file)) {
        struct rpc_wire wire = rpc_wire_of(file);
        int32_t found = 0;
        while (next_extension(&wire, type, &found)) {
            if (found == number) {
                *ret_file = file;
                return true;
            }
        }
    }
    return false;
}

size_t rpc_descriptor_extensions(const char *type, int32_t *ret_numbers, size_t max)
{
    struct rpc_wire files = rpc_wire_of(rpc_descriptor_set());
    struct hf_bytes file;
    size_t count = 0;
    while (next_message(&files, SET_FILE, &file)) {
        struct rpc_wire wire = rpc_wire_of(file);
        int32_t number = 0;
        while (next_extension(&wire, type, &number)) {
            if (count < max) {
                ret_numbers[count] = number;
            }
            count++;
        }
    }
    return count;
}

bool rpc_descriptor_method(const char *service, const char *method,
                           struct rpc_method_shape *ret_shape)
{
    struct hf_bytes at;
    enum scope scope = IN_FILE;
    const char *short_name = strrchr(service, '.');
    short_name = short_name == NULL ? service : short_name + 1;
    if (!rpc_descriptor_symbol(service, &at) || !find_child(&scope, &at, hf_str_of(short_name)) ||
        scope != IN_SERVICE || !find_child(&scope, &at, hf_str_of(method))) {
        return false;
    }
    ret_shape->client_streams = number_field(at, METHOD_CLIENT_STREAMS) != 0;
    ret_shape->server_streams = number_field(at, METHOD_SERVER_STREAMS) != 0;
    return true;
}
