/* Settings to endpoints. */
#include "svc/gate.h"

#include <string.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/vec.h"
#include "pgwire/dsn.h"

struct own {
    HF_VEC(struct egress_endpoint) list;
};

static void own_add(struct hf_arena *arena, struct own *own, const char *host, uint16_t port)
{
    *HF_VEC_ADD(arena, &own->list) = (struct egress_endpoint){host, port};
}

static void own_add_address(struct hf_arena *arena, struct own *own, const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;

    if (colon == NULL || !hf_parse_u64(colon + 1, &port) || port > UINT16_MAX) {
        return; /* no listener: refused by who would listen there */
    }
    size_t len = (size_t)(colon - address);
    bool is_bracketed = len >= 2 && address[0] == '[' && address[len - 1] == ']';

    own_add(arena, own,
            is_bracketed ? hf_strndup(arena, address + 1, len - 2)
                         : hf_strndup(arena, address, len),
            (uint16_t)port);
}

static struct hf_status own_add_database(struct hf_arena *arena, struct own *own,
                                         const char *conninfo)
{
    struct pgwire_dsn dsn;
    uint64_t port = 0;

    HF_TRY(hf_wrap(arena, pgwire_dsn_listeners(arena, conninfo, &dsn),
                   "reading the state database's connection string"));
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        const char *host = dsn.hosts[i].host;

        HF_CHECK(hf_parse_u64(dsn.hosts[i].port, &port));
        if (*host != '\0' && *host != '@') {
            own_add(arena, own, host, (uint16_t)port);
        }
        if (dsn.hosts[i].address[0] != '\0') {
            own_add(arena, own, dsn.hosts[i].address, (uint16_t)port);
        }
    }
    return hf_success();
}

static struct hf_status own_find(struct hf_arena *arena, const struct svc_gate_options *options,
                                 struct own *own)
{
    for (size_t i = 0; i < options->listeners_len; i++) {
        const char *listener = options->listeners[i];

        if (hf_text_empty(listener)) {
            continue;
        }
        if (listener[0] == '/') {
            own_add(arena, own, hf_path_parent(arena, listener), 0);
        } else {
            own_add_address(arena, own, listener);
        }
    }
    for (size_t i = 0; i < options->databases_len; i++) {
        if (!hf_text_empty(options->databases[i])) {
            HF_TRY(own_add_database(arena, own, options->databases[i]));
        }
    }
    return hf_success();
}

struct hf_status svc_gate_open(struct hf_ctx *ctx, const struct svc_gate_options *options,
                               struct egress **ret_egress)
{
    struct own own = {.list = {0}};
    struct egress_options rules = {
        .prefix = options->prefix,
        .allowed = options->allowed,
        .denied = options->denied,
        .socket_dirs = options->socket_dirs,
    };

    if (!egress_local_parse(options->local, &rules.local)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s_local must be auto, on or off, not %s",
                       options->prefix, options->local);
    }
    HF_TRY(own_find(ctx->arena, options, &own));
    rules.own = own.list.items;
    rules.own_len = own.list.len;
    return egress_new(ctx, &rules, ret_egress);
}
