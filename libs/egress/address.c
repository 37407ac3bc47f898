/* Addresses and ranges. */
#include "egress/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/str.h"

#define V4_AT 12
#define V4_BITS 96
#define TEXT_MAX 64
#define SITE_BITS 48

static const uint8_t mapped[V4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct egress_address from_v4(const uint8_t v4[4], uint16_t port)
{
    struct egress_address address = {.port = port};

    memcpy(address.bytes, mapped, sizeof(mapped));
    memcpy(address.bytes + V4_AT, v4, 4);
    return address;
}

bool egress_address_of(const struct sockaddr *from, struct egress_address *ret_address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    uint8_t bytes[4];

    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof(v4));
        memcpy(bytes, &v4.sin_addr, sizeof(bytes));
        *ret_address = from_v4(bytes, ntohs(v4.sin_port));
        return true;
    }
    if (from->sa_family == AF_INET6) {
        memcpy(&v6, from, sizeof(v6));
        memcpy(ret_address->bytes, &v6.sin6_addr, sizeof(ret_address->bytes));
        ret_address->port = ntohs(v6.sin6_port);
        return true;
    }
    return false;
}

bool egress_address_is_v4(const struct egress_address *address)
{
    return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

bool egress_address_is_loopback(const struct egress_address *address)
{
    static const uint8_t v6[EGRESS_ADDRESS_BYTES] = {[EGRESS_ADDRESS_BYTES - 1] = 1};

    return egress_address_is_v4(address) ? address->bytes[V4_AT] == 127
                                         : memcmp(address->bytes, v6, sizeof(v6)) == 0;
}

bool egress_address_equal(const struct egress_address *a, const struct egress_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

const char *egress_address_text(struct hf_arena *arena, const struct egress_address *address)
{
    char text[TEXT_MAX] = "";
    bool is_v4 = egress_address_is_v4(address);

    HF_CHECK(inet_ntop(is_v4 ? AF_INET : AF_INET6, address->bytes + (is_v4 ? V4_AT : 0), text,
                       sizeof(text)) != NULL);
    return hf_strdup(arena, text);
}

static bool has_bits_behind(const struct egress_range *range)
{
    for (unsigned bit = range->bits; bit < 8 * EGRESS_ADDRESS_BYTES; bit++) {
        if ((range->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return true;
        }
    }
    return false;
}

bool egress_range_parse(const char *text, struct egress_range *ret_range)
{
    char host[TEXT_MAX] = "";
    size_t len = strcspn(text, "/");
    struct egress_range range = {.bits = 8 * EGRESS_ADDRESS_BYTES};
    uint8_t v4[4];
    uint64_t bits = 0;
    bool is_v4;

    if (len >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, len);
    is_v4 = inet_pton(AF_INET, host, v4) == 1;
    if (is_v4) {
        struct egress_address address = from_v4(v4, 0);

        memcpy(range.bytes, address.bytes, sizeof(range.bytes));
    } else if (inet_pton(AF_INET6, host, range.bytes) != 1) {
        return false;
    }
    if (text[len] == '/') {
        if (!hf_parse_u64(text + len + 1, &bits) || bits > (is_v4 ? 32U : 128U)) {
            return false;
        }
        range.bits = (unsigned)bits + (is_v4 ? V4_BITS : 0);
    }
    if (has_bits_behind(&range)) {
        return false;
    }
    *ret_range = range;
    return true;
}

bool egress_range_has(const struct egress_range *range, const struct egress_address *address)
{
    size_t whole = range->bits / 8;
    unsigned left = range->bits % 8;

    if (memcmp(range->bytes, address->bytes, whole) != 0) {
        return false;
    }
    return left == 0 || (range->bytes[whole] ^ address->bytes[whole]) >> (8 - left) == 0;
}

/* Forms that carry an IPv4 address: where, and whether its bits are inverted. */
static const struct carrier {
    uint8_t prefix[EGRESS_ADDRESS_BYTES];
    unsigned prefix_bits;
    uint8_t at[4];
    uint8_t flip;
} carriers[] = {
    {{0}, 96, {12, 13, 14, 15}, 0},                                  /* IPv4-compatible ::a.b.c.d */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, {12, 13, 14, 15}, 0}, /* translated (SIIT) */
    {{0x20, 0x02}, 16, {2, 3, 4, 5}, 0},                             /* 6to4 */
    {{0x00, 0x64, 0xff, 0x9b}, 96, {12, 13, 14, 15}, 0},             /* NAT64 64:ff9b::/96 */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48, {6, 7, 9, 10}, 0},          /* NAT64 of a site, /48 */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48, {12, 13, 14, 15}, 0},       /* and its /96 */
    {{0x20, 0x01, 0, 0}, 32, {4, 5, 6, 7}, 0},                       /* Teredo: the server */
    {{0x20, 0x01, 0, 0}, 32, {12, 13, 14, 15}, 0xff},                /* Teredo: the client */
};

/* ISATAP has no prefix: any network and 0000:5efe or 0200:5efe before the IPv4 address. */
static bool is_isatap(const struct egress_address *address)
{
    const uint8_t *bytes = address->bytes;

    return (bytes[8] & 0xfd) == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe;
}

static struct egress_address carried(const struct egress_address *address,
                                     const struct carrier *carrier)
{
    uint8_t v4[4];

    for (size_t i = 0; i < 4; i++) {
        v4[i] = address->bytes[carrier->at[i]] ^ carrier->flip;
    }
    return from_v4(v4, address->port);
}

static bool is_zero_v4(const struct egress_address *address)
{
    static const uint8_t zero[4];

    return memcmp(address->bytes + V4_AT, zero, sizeof(zero)) == 0;
}

/* :: and ::1 look like IPv4-compatible ones and are none. */
static bool is_low(const struct egress_address *address)
{
    static const uint8_t zero[EGRESS_ADDRESS_BYTES - 1];

    return memcmp(address->bytes, zero, sizeof(zero)) == 0 && address->bytes[15] <= 1;
}

size_t egress_address_faces(const struct egress_address *address,
                            struct egress_address ret_faces[EGRESS_FACES_MAX])
{
    size_t len = 0;

    ret_faces[len++] = *address;
    if (is_low(address)) {
        return len;
    }
    for (size_t i = 0; i < HF_LEN(carriers); i++) {
        struct egress_range range = {.bits = carriers[i].prefix_bits};

        memcpy(range.bytes, carriers[i].prefix, sizeof(range.bytes));
        struct egress_address face = carried(address, &carriers[i]);

        /* One of the two forms below a site's prefix is meant: the other shows as zeros. */
        if (egress_range_has(&range, address) &&
            !(carriers[i].prefix_bits == SITE_BITS && is_zero_v4(&face))) {
            ret_faces[len++] = face;
        }
    }
    if (is_isatap(address)) {
        ret_faces[len++] = from_v4(address->bytes + V4_AT, address->port);
    }
    return len;
}
