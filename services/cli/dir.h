/* The installation directory of one machine: where everything of `holdfast up` is.
 *
 *   holdfast.yaml        install id, ports, user: written by the first up
 *   vault/ keys/         the default vault; its keys (copy them elsewhere)
 *   pki/ca/ pki/backup/ pki/cli/   the CA, certificates of the service and of this command line
 *   pg/ run/ log/ cache/ private PostgreSQL, sockets and pids, logs, digests
 */
#ifndef HF_CLI_DIR_H
#define HF_CLI_DIR_H

#include "base/ctx.h"

/* --dir DIR, HOLDFAST_DIR, /var/lib/holdfast for root, else XDG_DATA_HOME/holdfast or
 * ~/.local/share/holdfast. Absolute, without links and dots, in the arena. INVALID_ARGUMENT without
 * HOME. */
struct hf_status dir_choose(struct hf_ctx *ctx, const char *option,
                            const char **ret_dir) HF_MUST_USE;

struct dir_settings {
    const char *install_id;
    const char *user;     /* servers run as; "" for the user who runs up */
    const char *endpoint; /* of the backup service: "127.0.0.1:17401" */
    const char *metrics;  /* "127.0.0.1:17402" */
};

/* UNAVAILABLE, reason NO_INSTALLATION, says to run `holdfast up`. */
struct hf_status dir_load(struct hf_ctx *ctx, const char *dir,
                          struct dir_settings *ret_settings) HF_MUST_USE;
struct hf_status dir_save(struct hf_ctx *ctx, const char *dir,
                          const struct dir_settings *settings) HF_MUST_USE;

#endif
