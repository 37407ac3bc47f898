/* libpq connection strings as the product takes them: several hosts, never a password in it. */
#ifndef HF_PGWIRE_DSN_H
#define HF_PGWIRE_DSN_H

#include <stddef.h>

#include "base/status.h"

/* INVALID_ARGUMENT: does not parse (reason INVALID_DSN), or holds a password, passfile or service
 * (reason PASSWORD_IN_DSN; the message names --password-stdin and --password-file and repeats
 * nothing of the DSN). Pure. */
struct hf_status pgwire_dsn_check(struct hf_arena *arena, const char *dsn) HF_MUST_USE;

struct pgwire_host {
    const char *host; /* name, address or socket directory */
    const char *port;
};
/* The hosts that a DSN names, in order, and the user and database ("" when it names none).
 * Environment and defaults are not consulted; a missing host is "", a missing port "5432". */
struct pgwire_dsn {
    const struct pgwire_host *hosts;
    size_t hosts_len;
    const char *user;
    const char *dbname;
};
struct hf_status pgwire_dsn_parse(struct hf_arena *arena, const char *dsn,
                                  struct pgwire_dsn *ret_dsn) HF_MUST_USE;

/* The same DSN with one host of it alone (index into hosts): for members of a cluster. */
struct hf_status pgwire_dsn_single(struct hf_arena *arena, const char *dsn, size_t index,
                                   char **ret_dsn) HF_MUST_USE;

/* Password for the DSN's first host in the text of a .pgpass file, or NULL: for callers that hand
 * passwords over themselves (the command line). Pure. */
char *pgwire_pgpass_find(struct hf_arena *arena, const char *pgpass, const struct pgwire_dsn *dsn);

#endif
