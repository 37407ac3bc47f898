/* What protobuf-c forgets at run time, read from the embedded FileDescriptorSet.
 *
 * No index: a look-up walks the set, which takes microseconds and no memory. Pure, any thread. */
#ifndef RPC_DESCRIPTORS_H
#define RPC_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* The whole serialized google.protobuf.FileDescriptorSet, with imports and comments; static. */
struct hf_bytes rpc_descriptor_set(void);

/* The serialized FileDescriptorProto with this name ("google/rpc/status.proto"). */
bool rpc_descriptor_file(const char *name, struct hf_bytes *ret_file);
/* The file that declares a package-qualified message, enum, service, method, field or value. */
bool rpc_descriptor_symbol(const char *symbol, struct hf_bytes *ret_file);
/* The file that declares extension number of a type ("google.protobuf.MethodOptions"). */
bool rpc_descriptor_extension(const char *type, int number, struct hf_bytes *ret_file);
/* Numbers of all extensions of type; returns how many were found, at most max are written. */
size_t rpc_descriptor_extensions(const char *type, int32_t *ret_numbers, size_t max);

struct rpc_method_shape {
    bool client_streams;
    bool server_streams;
};
/* service "holdfast.jobs.v1.JobService", method "WatchJob". */
bool rpc_descriptor_method(const char *service, const char *method,
                           struct rpc_method_shape *ret_shape);

#endif
