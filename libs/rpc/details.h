/* hf_status as google.rpc.Status (trailer grpc-status-details-bin). Inside libs/rpc only. */
#ifndef RPC_DETAILS_H
#define RPC_DETAILS_H

#include "base/status.h"
#include "base/str.h"

#define RPC_DETAILS_KEY "grpc-status-details-bin"
#define RPC_ERROR_DOMAIN "holdfast.dev"

/* The message for the wire: never NULL, fit to be shown, at most 1000 bytes and 2400 as the header
 * writes them. */
const char *rpc_details_text(struct hf_arena *arena, struct hf_status status);

/* Empty when there is no info. At most 3600 bytes: values, then pairs, are left out before the
 * reason. */
struct hf_bytes rpc_details_encode(struct hf_arena *arena, struct hf_status status);

/* Give status the info that bytes hold; malformed or foreign details are ignored. */
struct hf_status rpc_details_decode(struct hf_arena *arena, struct hf_status status,
                                    struct hf_bytes bytes);

#endif
