/* Where things are in an installation directory, and whom they belong to. */
#ifndef HF_CLI_SUPERVISE_PLACE_H
#define HF_CLI_SUPERVISE_PLACE_H

#include <sys/types.h>

#include "cli/cli.h"
#include "cli/dir.h"

#define PLACE_PG_PORT "5432" /* names the socket only: nothing listens on TCP */

struct place {
    const char *dir;
    const char *run; /* sockets, pids, lock; 0700, of the servers' user */
    const char *log;
    const char *pg;
    const char *redis_socket;
    const char *pki;
    const char *keys;
    const char *bin;    /* directory of this program: holdfast-backup is beside it */
    const char *pg_bin; /* of the private PostgreSQL; NULL before place_find_postgres */
    const char *user;   /* servers run as, "" for ourselves */
    uid_t uid;
    gid_t gid;
    bool is_root;
    struct dir_settings settings;
};

/* Paths only; user "" means ourselves, for root the owner of dir. NOT_FOUND: no such user. */
struct hf_status place_of(struct hf_ctx *ctx, const char *dir, const char *user,
                          struct place *ret_place) HF_MUST_USE;
/* Fill in pg_bin: the version that made the private database, else the newest that is installed.
 * FAILED_PRECONDITION, reason NO_POSTGRESQL, says what to install. */
struct hf_status place_find_postgres(struct hf_ctx *ctx, struct place *place) HF_MUST_USE;
/* The user that servers run as when --user is not given: holdfast if it exists, else postgres;
 * ourselves without root. */
const char *place_default_user(struct hf_arena *arena);
/* Can sockets and connection strings hold the path? INVALID_ARGUMENT says what is wrong with it. */
struct hf_status place_check_path(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* Can the servers' user reach the directory? FAILED_PRECONDITION names the closed directory. */
struct hf_status place_check_reach(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* chown of a file or directory to the servers' user; nothing without root. */
struct hf_status place_own(struct hf_ctx *ctx, const struct place *place,
                           const char *path) HF_MUST_USE;
/* Connection string of a role on the private PostgreSQL. */
char *place_conninfo(struct hf_arena *arena, const struct place *place, const char *role,
                     const char *database);

/* First time: make what is missing. ret_is_new tells whether the installation was made just now. */
struct hf_status setup_run(struct hf_ctx *ctx, struct place *place, int64_t port,
                           bool *ret_is_new) HF_MUST_USE;
/* Issue the service's and this command line's certificates when they are missing, end soon or do
 * not hold now. ALREADY_EXISTS: a running `up` sees to it. */
struct hf_status setup_renew(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

#endif
