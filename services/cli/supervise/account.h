/* Users of this machine: whom the servers run as. */
#ifndef HF_CLI_SUPERVISE_ACCOUNT_H
#define HF_CLI_SUPERVISE_ACCOUNT_H

#include <sys/types.h>

#include "base/ctx.h"

#define ACCOUNT_NAME "holdfast"

struct account {
    const char *name; /* "user 117" of one that has no name here */
    uid_t uid;
    gid_t gid;
    bool is_known;    /* this machine has such a user */
    bool is_postgres; /* by name, or by the number of that name */
};

/* Errors   NOT_FOUND; UNAVAILABLE: this machine's users cannot be asked now, thus nobody knows */
struct hf_status account_find(struct hf_arena *arena, const char *name,
                              struct account *ret_account) HF_MUST_USE;
/* Of a number, whether it has a name or not.
 *
 * Errors   UNAVAILABLE: this machine's users cannot be asked now, thus nobody knows whose it is
 */
struct hf_status account_of(struct hf_arena *arena, uid_t uid, gid_t gid,
                            struct account *ret_account) HF_MUST_USE;
/* A user by name or number, with :GROUP by name or number behind it or without: as chown takes
 * them, but that the user is named. NOT_FOUND; INVALID_ARGUMENT: no user, or the number of nobody
 * without a group; UNAVAILABLE. */
struct hf_status account_parse(struct hf_arena *arena, const char *text,
                               struct account *ret_account) HF_MUST_USE;
/* NULL, or why the servers must not run as this user: whoever owns a protected server's account
 * must not own the vault and its keys. Static. */
const char *account_objection(const struct account *account);
/* The user `holdfast`, made when it is missing (root). FAILED_PRECONDITION, reason NO_USER, names
 * the command that makes it. */
struct hf_status account_ensure(struct hf_ctx *ctx, struct account *ret_account) HF_MUST_USE;

#endif
