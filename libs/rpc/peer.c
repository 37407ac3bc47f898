/* Identities: spiffe://<install uuid>/{service,agent,client}/<name>. */
#include "rpc/peer.h"

#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/str.h"

#define SCHEME "spiffe://"

static const char *const kind_names[] = {
    [RPC_PEER_SERVICE] = "service",
    [RPC_PEER_AGENT] = "agent",
    [RPC_PEER_CLIENT] = "client",
};

const char *rpc_peer_kind_name(enum rpc_peer_kind kind)
{
    return kind_names[kind];
}

static bool parse_kind(const char *text, enum rpc_peer_kind *ret_kind)
{
    static const enum rpc_peer_kind kinds[] = {RPC_PEER_SERVICE, RPC_PEER_AGENT, RPC_PEER_CLIENT};
    for (size_t i = 0; i < HF_LEN(kinds); i++) {
        if (hf_text_equal(text, kind_names[kinds[i]])) {
            *ret_kind = kinds[i];
            return true;
        }
    }
    return false;
}

struct hf_status rpc_identity_parse(struct hf_arena *arena, const char *uri,
                                    struct rpc_peer *ret_peer)
{
    struct hf_uuid uuid;
    enum rpc_peer_kind kind = RPC_PEER_CLIENT;
    if (hf_has_prefix(uri, SCHEME)) {
        const char *install = uri + strlen(SCHEME);
        size_t install_len = strcspn(install, "/");
        const char *kind_text = install + install_len + (install[install_len] == '/' ? 1 : 0);
        size_t kind_len = strcspn(kind_text, "/");
        const char *name = kind_text + kind_len + (kind_text[kind_len] == '/' ? 1 : 0);
        const char *install_copy = hf_strndup(arena, install, install_len);
        if (hf_uuid_parse(install_copy, &uuid) == 0 && hf_is_name(name) &&
            parse_kind(hf_strndup(arena, kind_text, kind_len), &kind)) {
            ret_peer->identity = hf_strdup(arena, uri);
            ret_peer->install = install_copy;
            ret_peer->kind = kind;
            ret_peer->name = hf_strdup(arena, name);
            return hf_success();
        }
    }
    return hf_fail_info(
        arena, HF_UNAUTHENTICATED, "INVALID_IDENTITY", NULL,
        "certificate names '%s', expected " SCHEME "<install>/{service,agent,client}/<name>", uri);
}
