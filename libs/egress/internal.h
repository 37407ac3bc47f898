/* What the files of this folder share. */
#ifndef HF_EGRESS_INTERNAL_H
#define HF_EGRESS_INTERNAL_H

#include "egress/egress.h"

struct resolver;

struct egress {
    struct hf_arena *arena; /* the settings; constant after egress_new */
    const char *prefix;
    struct egress_rules rules;
    const char *const *socket_dirs;
    size_t socket_dirs_len;
    const struct egress_endpoint *own;
    size_t own_len;
    struct resolver *resolver;
};

struct hf_status egress_refuse(struct hf_ctx *ctx, const struct egress *egress,
                               enum egress_verdict verdict, const char *host,
                               const struct egress_address *address) HF_MUST_USE;

/* resolver.c: names on a few threads of its own. */
struct resolver *resolver_new(egress_lookup_fn lookup, void *arg);
void resolver_free(struct resolver *resolver);
/* Unjudged. Errors HOST_INVALID, HOST_UNREACHABLE, RESOLVER_BUSY, TOO_MANY_ADDRESSES. */
struct hf_status resolver_ask(struct hf_ctx *ctx, struct resolver *resolver,
                              const struct egress_want *want,
                              struct egress_addresses *ret_addresses) HF_MUST_USE;

#endif
