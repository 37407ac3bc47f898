/* libpq connection strings as the product takes them: several hosts, never a password in it. */
#ifndef HF_PGWIRE_DSN_H
#define HF_PGWIRE_DSN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Strict, for what is registered now. INVALID_ARGUMENT: does not parse or a value does not fit
 * (INVALID_DSN), or a keyword that is not on the list, each with a reason and a remedy:
 * PASSWORD_IN_DSN, DSN_SERVICE, DSN_PASSFILE, DSN_OPTIONS, DSN_CLIENT_FILE, DSN_ENGINE, DSN_GSS,
 * DSN_OURS, DSN_REQUIREPEER, DSN_KEYWORD. No message repeats a value. Pure. */
struct hf_status pgwire_dsn_check(struct hf_arena *arena, const char *dsn) HF_MUST_USE;

/* The same, and the string as it is stored and shown: one line, every control character (libpq
 * takes white space between keywords) a blank. */
struct hf_status pgwire_dsn_take(struct hf_arena *arena, const char *dsn,
                                 const char **ret_dsn) HF_MUST_USE;

/* Options of `holdfast cluster update` that make a stored string one that is taken: what it says
 * and may say, with --ca-file and its sisters for the files that it names. To be pasted into a
 * shell; never a secret. "--dsn DSN" when nothing of it can be kept. Pure. */
const char *pgwire_dsn_mend(struct hf_arena *arena, const char *dsn);
/* Does a stored string say this, whatever else is wrong with it? Pure. */
bool pgwire_dsn_names(const char *dsn, const char *keyword);

struct pgwire_host {
    const char *host;    /* name, address or socket directory */
    const char *address; /* "" or the address to use instead of resolving host */
    const char *port;    /* a number */
};
/* The hosts that a DSN names, in order, and the user and database ("" when it names none).
 * Environment and defaults are not consulted; a missing host is "", a missing port "5432". */
struct pgwire_dsn {
    const struct pgwire_host *hosts;
    size_t hosts_len;
    const char *user;
    const char *dbname;
    const struct hf_pair *settings; /* all but the three lists */
    size_t settings_len;
};
/* Lenient, for what was registered before the list of keywords existed: refuses only what would
 * load code or read secrets of this machine (DSN_ENGINE, PASSWORD_IN_DSN, DSN_PASSFILE,
 * DSN_SERVICE). */
struct hf_status pgwire_dsn_parse(struct hf_arena *arena, const char *dsn,
                                  struct pgwire_dsn *ret_dsn) HF_MUST_USE;
/* Value of a keyword of the settings, NULL when the DSN does not say it. */
const char *pgwire_dsn_setting(const struct pgwire_dsn *dsn, const char *keyword);

/* A connection string and whether an authority was uploaded beside it, which makes verify-full the
 * default. */
struct pgwire_way {
    const char *dsn;
    bool has_authority;
};
/* Do secrets that were given for one way reach nobody else by the other: each host of it (host,
 * address and port) and the user are those of before, and TLS protects no less? False when one of
 * them does not parse. Pure. */
bool pgwire_dsn_is_trusted(struct hf_arena *arena, const struct pgwire_way *before,
                           const struct pgwire_way *after);

/* Only the hosts, of a conninfo of our own that may say everything: for the gate's list of what is
 * ours. */
struct hf_status pgwire_dsn_listeners(struct hf_arena *arena, const char *conninfo,
                                      struct pgwire_dsn *ret_dsn) HF_MUST_USE;

/* The same DSN with one host of it alone (index into hosts): for members of a cluster. */
struct hf_status pgwire_dsn_single(struct hf_arena *arena, const char *dsn, size_t index,
                                   char **ret_dsn) HF_MUST_USE;

/* Password for the DSN's first host in the text of a .pgpass file, or NULL: for callers that hand
 * passwords over themselves (the command line). Pure. */
char *pgwire_pgpass_find(struct hf_arena *arena, const char *pgpass, const struct pgwire_dsn *dsn);

#endif
