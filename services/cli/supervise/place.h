/* Where things are in an installation directory. All of it belongs to whom this process is. */
#ifndef HF_CLI_SUPERVISE_PLACE_H
#define HF_CLI_SUPERVISE_PLACE_H

#include <sys/types.h>

#include "cli/cli.h"
#include "cli/dir.h"
#include "cli/supervise/account.h"

#define PLACE_SERVICE "holdfast-backup"
#define PLACE_PG_PORT "5432" /* names the socket only: nothing listens on TCP */

struct place {
    const char *dir;
    const char *run; /* sockets, pids, lock; 0700 */
    const char *log;
    const char *pg;
    const char *redis_socket;
    const char *redis_pass; /* file of its password */
    const char *pki;
    const char *keys;
    const char *bin;    /* directory of this program: holdfast-backup is beside it */
    int service;        /* holdfast-backup, for when bin is closed to this user; 0: by its path */
    const char *pg_bin; /* of the private PostgreSQL; NULL before place_find_postgres */
    const char *user;   /* name of whom this process is: the owner of all of it */
    struct dir_settings settings;
};

/* Paths, and who this process is. UNAVAILABLE: the users of this machine cannot be asked. */
struct hf_status place_of(struct hf_ctx *ctx, const char *dir, struct place *ret_place) HF_MUST_USE;
/* holdfast-backup beside this program, to be held by root, whose folders are often closed to
 * others: the file alone, for a directory would lead out of it. 0: there is none. */
int place_hold_service(struct hf_arena *arena);
/* Fill in pg_bin: the version that made the private database, else the newest that is installed.
 * FAILED_PRECONDITION, reason NO_POSTGRESQL, says what to install. */
struct hf_status place_find_postgres(struct hf_ctx *ctx, struct place *place) HF_MUST_USE;
/* Can sockets and connection strings hold the path? INVALID_ARGUMENT says what is wrong with it. */
struct hf_status place_check_path(struct hf_ctx *ctx, const char *dir) HF_MUST_USE;
/* Can the user come to the directory? FAILED_PRECONDITION, reason DIRECTORY_CLOSED, names the
 * closed directory. */
struct hf_status place_check_reach(struct hf_ctx *ctx, const char *dir,
                                   const struct account *account) HF_MUST_USE;
/* Connection string of a role on the private PostgreSQL. */
char *place_conninfo(struct hf_arena *arena, const struct place *place, const char *role,
                     const char *database);

/* First time: make what is missing. ret_is_new tells whether the installation was made just now. */
struct hf_status setup_run(struct hf_ctx *ctx, struct place *place, int64_t port,
                           bool *ret_is_new) HF_MUST_USE;
/* Issue the service's and this command line's certificates when they are missing, end soon or do
 * not hold now. ALREADY_EXISTS: a running `up` sees to it. */
struct hf_status setup_renew(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;
/* Nobody sets up or renews meanwhile. Waits for whoever does. */
struct hf_status setup_take_lock(struct hf_ctx *ctx, const struct place *place,
                                 int *ret_lock) HF_MUST_USE;

#endif
