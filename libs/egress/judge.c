/* The table of ranges, and the order of the questions. */
#include "egress/judge.h"

#include "base/check.h"

#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (a), (b), (c), (d)                               \
    }

/* Refused whatever the settings say. The first that fits counts: a metadata service lies in the
 * link-local range. EGRESS_LOCAL_IS_OFF stands for "this machine", which has settings. */
static const struct row {
    uint8_t bytes[EGRESS_ADDRESS_BYTES];
    unsigned bits;
    enum egress_verdict verdict;
} rows[] = {
    {V4(169, 254, 169, 254), 128, EGRESS_METADATA}, /* AWS, Google, Azure, OpenStack … */
    {V4(169, 254, 170, 2), 128, EGRESS_METADATA},   /* AWS, credentials of a container */
    {V4(169, 254, 170, 23), 128, EGRESS_METADATA},  /* AWS, credentials of a pod */
    {V4(100, 100, 100, 200), 128, EGRESS_METADATA}, /* Alibaba */
    {V4(168, 63, 129, 16), 128, EGRESS_METADATA},   /* Azure, the host's agent */
    {V4(192, 0, 0, 192), 128, EGRESS_METADATA},     /* Oracle */
    {{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, EGRESS_METADATA},
    {{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23}, 128, EGRESS_METADATA},
    {{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, EGRESS_METADATA},
    {{0xfd, 0x00, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe},
     128,
     EGRESS_METADATA},
    {V4(127, 0, 0, 0), 104, EGRESS_LOCAL_IS_OFF},
    {V4(0, 0, 0, 0), 104, EGRESS_UNSPECIFIED}, /* the kernel takes 0.0.0.0 for loopback */
    {V4(169, 254, 0, 0), 112, EGRESS_LINK_LOCAL},
    {V4(224, 0, 0, 0), 100, EGRESS_MULTICAST},
    {V4(255, 255, 255, 255), 128, EGRESS_BROADCAST},
    {V4(240, 0, 0, 0), 100, EGRESS_RESERVED},
    {V4(192, 0, 0, 0), 120, EGRESS_RESERVED},
    {V4(192, 88, 99, 0), 120, EGRESS_RESERVED}, /* the old 6to4 relays */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, EGRESS_LOCAL_IS_OFF},
    {{0}, 128, EGRESS_UNSPECIFIED},
    {{0xfe, 0x80}, 10, EGRESS_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, EGRESS_RESERVED}, /* site-local, withdrawn */
    {{0xff}, 8, EGRESS_MULTICAST},
    {{0x01, 0x00}, 64, EGRESS_RESERVED}, /* discard */
    {{0x5f, 0x00}, 16, EGRESS_RESERVED}, /* segment routing */
};

static const struct egress_verdict_text texts[EGRESS_VERDICTS] = {
    [EGRESS_FINE] = {"", "", ""},
    [EGRESS_OWN_LISTENER] = {"ADDRESS_OWN_LISTENER", "is where this installation itself listens",
                             ""},
    [EGRESS_METADATA] = {"ADDRESS_METADATA", "is the address of a cloud's metadata service", ""},
    [EGRESS_LINK_LOCAL] = {"ADDRESS_LINK_LOCAL", "is link-local", ""},
    [EGRESS_UNSPECIFIED] = {"ADDRESS_UNSPECIFIED", "is the unspecified address", ""},
    [EGRESS_MULTICAST] = {"ADDRESS_MULTICAST", "is a multicast address", ""},
    [EGRESS_BROADCAST] = {"ADDRESS_BROADCAST", "is the broadcast address", ""},
    [EGRESS_RESERVED] = {"ADDRESS_RESERVED", "lies in a reserved range", ""},
    [EGRESS_DENIED] = {"ADDRESS_DENIED", "lies in a range that the operator denies",
                       "%s_denied in overrides.yaml"},
    [EGRESS_NOT_ALLOWED] = {"ADDRESS_NOT_ALLOWED", "lies in no range that the operator allows",
                            "%s_allowed in overrides.yaml"},
    [EGRESS_LOCAL_IS_OFF] = {"LOCAL_DISABLED", "touches this machine itself, which is switched off",
                             "%s_local in overrides.yaml"},
    [EGRESS_LOCAL_NEEDS_OPERATOR] =
        {"LOCAL_NEEDS_OPERATOR",
         "touches this machine itself, which is for admins of the installation",
         "a certificate of role installation-admin, or %s_local: on in overrides.yaml"},
    [EGRESS_SOCKET_ABSTRACT] = {"SOCKET_ABSTRACT", "is an abstract socket", ""},
    [EGRESS_SOCKET_OWN] = {"SOCKET_OWN", "is where this installation keeps its own sockets", ""},
    [EGRESS_SOCKET_UNLISTED] = {"SOCKET_DIR_NOT_ALLOWED",
                                "is no directory of sockets that the operator lists",
                                "%s_socket_dirs in overrides.yaml"},
    [EGRESS_SOCKET_NONE] = {"SOCKET_INVALID", "holds no such socket", ""},
};

const struct egress_verdict_text *egress_verdict_text(enum egress_verdict verdict)
{
    HF_CHECK(verdict < EGRESS_VERDICTS);
    return &texts[verdict];
}

static bool is_in(const struct egress_range *ranges, size_t len,
                  const struct egress_address *address)
{
    for (size_t i = 0; i < len; i++) {
        if (egress_range_has(&ranges[i], address)) {
            return true;
        }
    }
    return false;
}

static enum egress_verdict range_of(const struct egress_address *address)
{
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        struct egress_range range = {.bits = rows[i].bits};

        for (size_t byte = 0; byte < sizeof(range.bytes); byte++) {
            range.bytes[byte] = rows[i].bytes[byte];
        }
        if (egress_range_has(&range, address)) {
            return rows[i].verdict;
        }
    }
    return EGRESS_FINE;
}

static bool is_here(const struct egress_scene *scene, const struct egress_address *address)
{
    enum egress_verdict verdict = range_of(address);

    if (verdict == EGRESS_LOCAL_IS_OFF || verdict == EGRESS_UNSPECIFIED) {
        return true;
    }
    for (size_t i = 0; i < scene->machine_len; i++) {
        if (egress_address_equal(&scene->machine[i], address)) {
            return true;
        }
    }
    return false;
}

/* A listener on one address of this machine is refused on all of them. */
static bool is_own(const struct egress_scene *scene, const struct egress_address *address)
{
    bool here = is_here(scene, address);

    for (size_t i = 0; i < scene->own_len; i++) {
        const struct egress_address *own = &scene->own[i];

        if (own->port == address->port &&
            (egress_address_equal(own, address) || (here && is_here(scene, own)))) {
            return true;
        }
    }
    return false;
}

enum egress_verdict egress_judge_local(const struct egress_rules *rules, bool is_operator)
{
    if (rules->local == EGRESS_LOCAL_OFF) {
        return EGRESS_LOCAL_IS_OFF;
    }
    return rules->local == EGRESS_LOCAL_ON || is_operator ? EGRESS_FINE
                                                          : EGRESS_LOCAL_NEEDS_OPERATOR;
}

static enum egress_verdict judge_face(const struct egress_rules *rules,
                                      const struct egress_scene *scene,
                                      const struct egress_address *face, bool is_operator)
{
    enum egress_verdict range = range_of(face);

    if (is_own(scene, face)) {
        return EGRESS_OWN_LISTENER;
    }
    if (range != EGRESS_FINE && range != EGRESS_LOCAL_IS_OFF) {
        return range;
    }
    if (is_in(rules->denied, rules->denied_len, face)) {
        return EGRESS_DENIED;
    }
    return is_here(scene, face) ? egress_judge_local(rules, is_operator) : EGRESS_FINE;
}

enum egress_verdict egress_judge(const struct egress_rules *rules, const struct egress_scene *scene,
                                 const struct egress_address *address, bool is_operator)
{
    struct egress_address faces[EGRESS_FACES_MAX];
    size_t len = egress_address_faces(address, faces);

    for (size_t i = 0; i < len; i++) {
        enum egress_verdict verdict = judge_face(rules, scene, &faces[i], is_operator);

        if (verdict != EGRESS_FINE) {
            return verdict;
        }
    }
    /* What touches this machine has its own setting. */
    return rules->allowed_len == 0 || is_here(scene, address) ||
                   is_in(rules->allowed, rules->allowed_len, address)
               ? EGRESS_FINE
               : EGRESS_NOT_ALLOWED;
}
