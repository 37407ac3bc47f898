/* May a connection that somebody's text names go to this address? Pure: what is true of the machine
 * at the moment comes in as a scene. */
#ifndef HF_EGRESS_JUDGE_H
#define HF_EGRESS_JUDGE_H

#include "egress/address.h"

/* What touches this machine itself: loopback, its own addresses, UNIX sockets. */
enum egress_local {
    EGRESS_LOCAL_AUTO, /* for operators of the installation */
    EGRESS_LOCAL_ON,   /* for everybody; directories of sockets only when they are listed */
    EGRESS_LOCAL_OFF,  /* for nobody */
};

enum egress_verdict {
    EGRESS_FINE,
    EGRESS_OWN_LISTENER,
    EGRESS_METADATA,
    EGRESS_LINK_LOCAL,
    EGRESS_UNSPECIFIED,
    EGRESS_MULTICAST,
    EGRESS_BROADCAST,
    EGRESS_RESERVED,
    EGRESS_DENIED,
    EGRESS_NOT_ALLOWED,
    EGRESS_LOCAL_IS_OFF,
    EGRESS_LOCAL_NEEDS_OPERATOR,
    EGRESS_SOCKET_ABSTRACT,
    EGRESS_SOCKET_OWN,
    EGRESS_SOCKET_UNLISTED,
    EGRESS_SOCKET_NONE,
    EGRESS_VERDICTS,
};

struct egress_rules {
    const struct egress_range *allowed; /* none: all that nothing refuses */
    size_t allowed_len;
    const struct egress_range *denied;
    size_t denied_len;
    enum egress_local local;
};

struct egress_scene {
    const struct egress_address *machine; /* of its interfaces; ports unused */
    size_t machine_len;
    const struct egress_address *own; /* where the installation itself listens */
    size_t own_len;
};

/* The ranges of ours come before the settings: no setting opens them. */
enum egress_verdict egress_judge(const struct egress_rules *rules, const struct egress_scene *scene,
                                 const struct egress_address *address, bool is_operator);
/* The half that speaks of the machine alone, for sockets. */
enum egress_verdict egress_judge_local(const struct egress_rules *rules, bool is_operator);

/* Stable reason, what it means ("is the address of a metadata service"), and which setting changes
 * it ("" when none does; %s stands for the prefix of the settings). */
struct egress_verdict_text {
    const char *reason;
    const char *what;
    const char *remedy;
};
const struct egress_verdict_text *egress_verdict_text(enum egress_verdict verdict);

#endif
