/* The installation directory of one machine: where everything of `holdfast up` is.
 *
 *   holdfast.yaml        install id, ports: written by the first up
 *   overrides.yaml       what the operator sets; nothing of ours writes it
 *   vault/ keys/         the default vault; its keys (copy them elsewhere)
 *   state/               what the service writes and cannot make anew
 *   pki/ca/ pki/backup/ pki/cli/   the CA, certificates of the service and of this command line
 *   pg/ run/ log/ cache/ private PostgreSQL, sockets and pids, logs, digests
 *
 * All of it belongs to one user, whom the servers run as. `certs issue --out DIR` makes a directory
 * for a client: a holdfast.yaml that says whose it is, and tls.crt, tls.key, ca.crt beside it.
 *
 * Whoever reads here may be another user than the owner, root for one: no link is followed, and no
 * setting names a program, a library or a file to write.
 */
#ifndef HF_CLI_DIR_H
#define HF_CLI_DIR_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/ctx.h"

/* --dir DIR, HOLDFAST_DIR, /var/lib/holdfast for root, else XDG_DATA_HOME/holdfast or
 * ~/.local/share/holdfast. Absolute, without links and dots, in the arena. INVALID_ARGUMENT without
 * HOME. */
struct hf_status dir_choose(struct hf_ctx *ctx, const char *option,
                            const char **ret_dir) HF_MUST_USE;

/* A path from the current directory. */
struct hf_status dir_absolute(struct hf_ctx *ctx, const char *path,
                              const char **ret_path) HF_MUST_USE;

#define DIR_CLIENT_REASON "CLIENT_DIRECTORY" /* of the refusal of a client's directory */

struct dir_settings {
    const char *install_id;
    const char *client;   /* whose directory this is; "": an installation */
    const char *endpoint; /* of the backup service: "127.0.0.1:17401" */
    const char *metrics;  /* "127.0.0.1:17402" */
    uid_t uid;            /* whose the file is; dir_load_at alone says it */
};

/* What overrides.yaml says to the command line; the rest of it is the services'. */
struct dir_overrides {
    const char *endpoint;  /* "": not said; where a client of this machine finds it */
    const char *metrics;   /* "": not said */
    int64_t log_max_bytes; /* 0: not said */
    int64_t log_files;     /* 0: not said */
};
#define DIR_SETTINGS "holdfast.yaml"
#define DIR_OVERRIDES "overrides.yaml"
/* A file that is missing or wrong says nothing: `up` and `doctor` tell what is wrong with it. */
void dir_load_overrides(struct hf_ctx *ctx, const char *dir, struct dir_overrides *ret_overrides);

/* A file of the directory, however hostile its owner is (hf_read_below). */
struct hf_status dir_read(struct hf_ctx *ctx, const char *dir, const char *name,
                          struct hf_buf *buf) HF_MUST_USE;
/* The endpoints are those of overrides.yaml where it names some.
 * UNAVAILABLE, reason NO_INSTALLATION, says to run `holdfast up`. */
struct hf_status dir_load(struct hf_ctx *ctx, const char *dir,
                          struct dir_settings *ret_settings) HF_MUST_USE;
/* The same for commands that need the installation itself, not a client's directory. */
struct hf_status dir_load_own(struct hf_ctx *ctx, const char *dir,
                              struct dir_settings *ret_settings) HF_MUST_USE;
/* What holdfast.yaml itself says, overrides or not: for whoever writes the services' files. */
struct hf_status dir_load_first(struct hf_ctx *ctx, const char *dir,
                                struct dir_settings *ret_settings) HF_MUST_USE;
/* The same for root, who decides by it whose an installation becomes: read below a descriptor (-1:
 * nothing is there), whoever it belongs to. dir is for messages. */
struct hf_status dir_load_at(struct hf_ctx *ctx, int at, const char *dir,
                             struct dir_settings *ret_settings) HF_MUST_USE;
/* holdfast.yaml's text. */
char *dir_text(struct hf_arena *arena, const struct dir_settings *settings);
struct hf_status dir_save(struct hf_ctx *ctx, const char *dir,
                          const struct dir_settings *settings) HF_MUST_USE;

#endif
