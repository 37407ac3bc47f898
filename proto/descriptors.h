/* The FileDescriptorSet of every proto, with imports and comments, as protoc wrote it. */
#ifndef PROTO_DESCRIPTORS_H
#define PROTO_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

/* Serialized google.protobuf.FileDescriptorSet; static. */
const uint8_t *proto_descriptor_set(size_t *ret_len);

#endif
