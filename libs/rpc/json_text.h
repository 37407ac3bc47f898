/* The lexical part of JSON. Inside libs/rpc only. */
#ifndef RPC_JSON_TEXT_H
#define RPC_JSON_TEXT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct rpc_json_text {
    struct hf_str all;
    size_t pos;
};

/* Next character after white space, '\0' at the end; it is not consumed. */
char rpc_json_peek(struct rpc_json_text *text);
/* Consume c if it is next. */
bool rpc_json_take(struct rpc_json_text *text, char c);
/* Consume null if it is next. */
bool rpc_json_null(struct rpc_json_text *text);
/* Consume a bare word or number. */
bool rpc_json_token(struct rpc_json_text *text, struct hf_str *ret_token);
/* Consume text in quotes; escapes are resolved. False on NUL, bad UTF-8, bad escape. */
bool rpc_json_string(struct rpc_json_text *text, struct hf_arena *arena, const char **ret_text);

/* Standard or URL-safe alphabet, padding optional. */
bool rpc_json_base64(struct hf_arena *arena, const char *text, ProtobufCBinaryData *ret_bytes);
/* "-1.500s". */
bool rpc_json_duration(const char *text, int64_t *ret_seconds, int32_t *ret_nanos);

#endif
