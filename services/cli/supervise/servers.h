/* How the private PostgreSQL and Redis are set up: who may connect, and as what. */
#ifndef HF_CLI_SUPERVISE_SERVERS_H
#define HF_CLI_SUPERVISE_SERVERS_H

#include "cli/supervise/place.h"

#define SERVERS_REDIS_USER "holdfast"

/* redis.conf, which has the digest of keys/redis.pass: one user, who may ring the doorbell. */
struct hf_status servers_write_redis(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* Before PostgreSQL is started: pg_hba.conf and pg_ident.conf let in this process's user alone, as
 * each of the roles; database and roles are made in single-user mode, where nobody can connect,
 * when this program wants others than those that are there. The superuser cannot log in after it.
 * Repeat  safe; after a crash all of it is done again. */
struct hf_status servers_prepare_postgres(struct hf_ctx *ctx,
                                          const struct place *place) HF_MUST_USE;
/* Does it run, or has it been left running, as this program would have started it? */
bool servers_is_postgres_current(struct hf_ctx *ctx, const struct place *place);
bool servers_is_redis_current(struct hf_ctx *ctx, const struct place *place, pid_t pid);

#endif
