/* An address and port in one form, and ranges of addresses. IPv4 is kept as ::ffff:a.b.c.d, so that
 * one comparison serves both families. Pure. */
#ifndef HF_EGRESS_ADDRESS_H
#define HF_EGRESS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define EGRESS_ADDRESS_BYTES 16

struct egress_address {
    uint8_t bytes[EGRESS_ADDRESS_BYTES];
    uint16_t port;
};

struct egress_range {
    uint8_t bytes[EGRESS_ADDRESS_BYTES];
    unsigned bits; /* of the form above: an IPv4 /8 has 104 */
};

struct sockaddr;
/* False: neither IPv4 nor IPv6. A scope id is dropped. */
bool egress_address_of(const struct sockaddr *from, struct egress_address *ret_address);

/* Without port: "10.0.0.1", "fd00::1". */
const char *egress_address_text(struct hf_arena *arena, const struct egress_address *address);
bool egress_address_is_v4(const struct egress_address *address);
/* 127.0.0.0/8, ::1: what is sent there leaves this machine never. */
bool egress_address_is_loopback(const struct egress_address *address);
bool egress_address_equal(const struct egress_address *a, const struct egress_address *b);

/* "10.0.0.0/8", "fd00::/8", "10.1.2.3". False: malformed, or bits set behind the prefix. */
bool egress_range_parse(const char *text, struct egress_range *ret_range);
bool egress_range_has(const struct egress_range *range, const struct egress_address *address);

/* The address itself and each IPv4 address that it carries (IPv4-compatible, 6to4, NAT64, Teredo,
 * ISATAP): a tunnel or translator on the way would deliver there. */
#define EGRESS_FACES_MAX 6
size_t egress_address_faces(const struct egress_address *address,
                            struct egress_address ret_faces[EGRESS_FACES_MAX]);

#endif
