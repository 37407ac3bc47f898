/* Identity of a call from its TLS session, tenant and request id from its metadata. */
#include <grpc/support/alloc.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "rpc/server_core.h"

#define MAX_REQUEST_ID 128

static void auth_release(grpc_auth_context *auth)
{
    grpc_auth_context_release(auth);
}
HF_DEFINE_CLEANUP(grpc_auth_context *, auth_release)

/* The one URI name of the peer's verified certificate. */
static struct hf_status find_uri(struct rpc_stream *call, const char **ret_uri)
{
    HF_CLEANUP(auth_release) grpc_auth_context *auth = grpc_call_auth_context(call->call);
    const grpc_auth_property *property = NULL;
    const char *uri = NULL;
    size_t count = 0;
    bool has_nul = false;
    if (auth != NULL && grpc_auth_context_peer_is_authenticated(auth)) {
        grpc_auth_property_iterator it =
            grpc_auth_context_find_properties_by_name(auth, GRPC_PEER_URI_PROPERTY_NAME);
        while ((property = grpc_auth_property_iterator_next(&it)) != NULL) {
            uri = hf_strndup(call->home, property->value, property->value_length);
            has_nul |= strlen(uri) != property->value_length;
            count++;
        }
    }
    if (has_nul) { /* a C string would end before what the issuer has signed */
        return hf_fail_info(call->home, HF_UNAUTHENTICATED, "INVALID_IDENTITY", NULL,
                            "the certificate's name holds a NUL");
    }
    if (count != 1) {
        return hf_fail_info(call->home, HF_UNAUTHENTICATED, "INVALID_IDENTITY", NULL,
                            "the certificate carries %zu URI names, expected one", count);
    }
    *ret_uri = uri;
    return hf_success();
}

static bool is_request_id(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return len > 0 && len <= MAX_REQUEST_ID;
}

static const char *header(struct rpc_stream *call, const char *key)
{
    const grpc_slice *value = rpc_core_header(&call->metadata, key);
    return value == NULL ? "" : rpc_core_text(call->home, *value);
}

struct hf_status rpc_call_peer(struct rpc_stream *call)
{
    const char *uri = NULL;
    const char *install = call->server->config.install;
    const char *tenant = header(call, RPC_TENANT_KEY);
    const char *request_id = header(call, RPC_REQUEST_ID_KEY);
    char *address = grpc_call_get_peer(call->call);
    call->peer.address = hf_strdup(call->home, address == NULL ? "" : address);
    gpr_free(address);
    call->peer.identity = "";
    call->peer.tenant = tenant;
    call->peer.request_id =
        is_request_id(request_id) ? request_id : hf_uuid_new_text(call->home, hf_now_us());
    HF_TRY(find_uri(call, &uri));
    HF_TRY(rpc_identity_parse(call->home, uri, &call->peer));
    if (install != NULL && !hf_text_equal(install, call->peer.install)) {
        return hf_fail_info(call->home, HF_UNAUTHENTICATED, "OTHER_INSTALLATION", NULL,
                            "%s belongs to another installation", call->peer.identity);
    }
    if (tenant[0] != '\0' && !hf_is_name(tenant)) {
        return hf_fail_info(call->home, HF_INVALID_ARGUMENT, "INVALID_TENANT", NULL,
                            RPC_TENANT_KEY " must be a name of a-z, 0-9 and -");
    }
    return hf_success();
}
