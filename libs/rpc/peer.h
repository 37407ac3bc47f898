/* Who calls, taken from the verified client certificate, and what its metadata asks for. */
#ifndef RPC_PEER_H
#define RPC_PEER_H

#include "base/arena.h"
#include "base/status.h"

enum rpc_peer_kind { RPC_PEER_SERVICE, RPC_PEER_AGENT, RPC_PEER_CLIENT };

/* Metadata keys (request headers). */
#define RPC_TENANT_KEY "x-holdfast-tenant"
#define RPC_REQUEST_ID_KEY "x-request-id"

struct rpc_peer {
    const char *identity;    /* whole URI SAN: spiffe://<install>/<kind>/<name> */
    const char *install;     /* UUID of the installation whose CA issued it */
    enum rpc_peer_kind kind; /* service, agent or client */
    const char *name;        /* last part of the identity */
    const char *address;     /* "ipv4:127.0.0.1:41234", for logs */
    const char *tenant;      /* RPC_TENANT_KEY, "" when absent; a wish, not a right */
    const char *request_id;  /* RPC_REQUEST_ID_KEY or made here; also the trace of ctx */
};

/* Fill identity, install, kind and name. UNAUTHENTICATED when uri is no identity of ours. Pure. */
struct hf_status rpc_identity_parse(struct hf_arena *arena, const char *uri,
                                    struct rpc_peer *ret_peer) HF_MUST_USE;

/* "service", "agent", "client"; static. */
const char *rpc_peer_kind_name(enum rpc_peer_kind kind);

#endif
