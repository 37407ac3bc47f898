/* Operator is not tenant. What touches this machine is for admins of the installation, in whatever
 * tenant they act; a tenant's own admin has all rights over the tenant and none over the machine.
 * This is the one place that says what that is. */
#ifndef HF_AUTH_OPERATOR_H
#define HF_AUTH_OPERATOR_H

#include "auth/auth.h"

/* The name of the role for people: holdfast certs issue NAME --role installation-admin. In the
 * tenant it is admin. */
#define AUTH_OPERATOR_ROLE "installation-admin"

/* The command line on the machine itself: client/cli, an admin of the installation; `up` keeps its
 * certificate and its rights, nobody else issues one. */
#define AUTH_LOCAL_NAME "cli"

enum auth_machine {
    AUTH_LOOPBACK,        /* addresses of this machine */
    AUTH_SOCKETS,         /* its UNIX sockets */
    AUTH_FILES,           /* file:// and paths */
    AUTH_OWN_CREDENTIALS, /* what the services log in with themselves */
    AUTH_STATE_DATABASE,  /* the installation's own state */
    AUTH_MACHINE_LEN,
};

/* For logs and refusals: "loopback". */
const char *auth_machine_name(enum auth_machine what);
/* May the caller make the service touch it? The operator's settings may open loopback and sockets
 * to tenants (libs/egress); nothing opens the rest. Pure. */
bool auth_may_touch(const struct auth_grant *grant, enum auth_machine what);

/* Make an identity an operator, or no longer. owner_db is a DB_OWNER pool: the role that serves
 * requests cannot. Repeatable.
 * Errors   INVALID_ARGUMENT kind or name */
struct hf_status auth_operator_put(struct hf_ctx *ctx, struct db *owner_db,
                                   const struct auth_peer *peer) HF_MUST_USE;
struct hf_status auth_operator_remove(struct hf_ctx *ctx, struct db *owner_db,
                                      const struct auth_peer *peer) HF_MUST_USE;

#endif
