/* The one gate for outgoing connections that a user's text names: databases, stores, webhooks,
 * probes. A name is resolved here, every address of it is judged, and the caller connects to a
 * judged address, never to the name: so what was judged is what is reached. Call it again for each
 * new connection, for names and rules change.
 *
 * Reasons of refusal (PERMISSION_DENIED; metadata host, address, port, setting): ADDRESS_* LOCAL_*
 * SOCKET_* of the table in judge.c. Others:
 *   HOST_INVALID        INVALID_ARGUMENT  no host name, no address
 *   HOST_UNREACHABLE    UNAVAILABLE       the resolver knows no address, no socket is there (now)
 *   RESOLVER_BUSY       UNAVAILABLE       the threads that resolve, or those that one owner may
 *                                         have, are waiting for answers
 *   TOO_MANY_ADDRESSES  PERMISSION_DENIED more than EGRESS_ADDRESSES_MAX
 *
 * Threads: any. */
#ifndef HF_EGRESS_EGRESS_H
#define HF_EGRESS_EGRESS_H

#include "base/cleanup.h"
#include "base/ctx.h"
#include "egress/judge.h"

#define EGRESS_ADDRESSES_MAX 32

struct egress;

/* Where the installation listens itself. */
struct egress_endpoint {
    const char *host; /* name or address; "/directory" of a socket; "" or "*": this machine */
    uint16_t port;    /* unused for a directory */
};

/* Addresses of a name, on a thread of the gate; false: it knows none. */
typedef bool (*egress_lookup_fn)(void *arg, const char *host,
                                 struct egress_address ret_addresses[EGRESS_ADDRESSES_MAX + 1],
                                 size_t *ret_len);

struct egress_options {
    const char *prefix;      /* of the settings, for messages: "sources" */
    const char *allowed;     /* CIDRs, comma list; NULL or "": all */
    const char *denied;      /* the same; NULL or "": none */
    const char *socket_dirs; /* comma list; NULL or "": operators any, others none */
    enum egress_local local;
    const struct egress_endpoint *own;
    size_t own_len;
    egress_lookup_fn lookup; /* NULL: the system's resolver */
    void *lookup_arg;
};

/* auto, on, off. */
bool egress_local_parse(const char *text, enum egress_local *ret_local);

/* Everything is copied.
 * Errors   INVALID_ARGUMENT names the setting and the entry that is no CIDR or no absolute path */
struct hf_status egress_new(struct hf_ctx *ctx, const struct egress_options *options,
                            struct egress **ret_egress) HF_MUST_USE;
/* Waits for the resolver's running answers. Accepts NULL. */
void egress_free(struct egress *egress);
HF_DEFINE_CLEANUP(struct egress *, egress_free)

struct egress_want {
    const char *host; /* name or address, as the user wrote it */
    uint16_t port;
    bool is_operator;
    const char *owner; /* who asks: of one, few questions wait at a time; NULL: nobody */
};
struct egress_addresses {
    const struct egress_address *list; /* in the resolver's order, each with the port */
    size_t len;
};
/* All addresses of the host, each found fine; one that is not refuses the host. Never blocks past
 * ctx, whatever the resolver does. */
struct hf_status egress_resolve(struct hf_ctx *ctx, struct egress *egress,
                                const struct egress_want *want,
                                struct egress_addresses *ret_addresses) HF_MUST_USE;

/* The directory of a UNIX socket, opened and judged: the caller connects below the descriptor
 * (/proc/self/fd/N/NAME), so that nobody can put another one in its place. name is the socket in
 * it; a link is refused. */
struct hf_status egress_socket_open(struct hf_ctx *ctx, struct egress *egress, const char *dir,
                                    const char *name, bool is_operator,
                                    int *ret_dir_fd) HF_MUST_USE;
/* After connect: is it a listener of our own all the same (a hard link, a renamed socket)? */
struct hf_status egress_socket_check(struct hf_ctx *ctx, struct egress *egress, int fd) HF_MUST_USE;

#endif
