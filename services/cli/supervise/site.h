/* What the directory of an installation is now, as root sees it, and what root may give away of it.
 */
#ifndef HF_CLI_SUPERVISE_SITE_H
#define HF_CLI_SUPERVISE_SITE_H

#include "cli/dir.h"
#include "cli/supervise/account.h"
#include "cli/supervise/move.h"
#include "cli/walk.h"

struct site {
    const char *path;
    struct walk walk;
    int dir; /* readable; -1 when it is not there */
    struct account owner;
    struct hf_status settings; /* OK: it has the holdfast.yaml of an installation */
    uid_t settings_uid;
    bool is_empty;
    bool is_installation; /* it has a file that only an installation has */
    bool has_roots;       /* some of it is root's, and nobody else can use that */
    bool is_roots_alone;  /* nobody but root can have put it there, or anything into it */
    bool is_old;          /* an earlier release left it, or a move was cut off */
};

/* path  absolute; is borrowed */
struct hf_status site_look(struct hf_ctx *ctx, const char *path, struct site *ret_site) HF_MUST_USE;
void site_done(struct site *site);
static inline void site_done_cleanup(struct site *site)
{
    site_done(site);
}

/* What is to be given to whom; what a user of this machine owns stays as it is (move->root).
 *
 * Errors   FAILED_PRECONDITION, reason FOREIGN_DIRECTORY: nothing proves that it is an installation
 */
struct hf_status site_plan_move(struct hf_ctx *ctx, const struct site *site,
                                const struct account *to, struct move *ret_move) HF_MUST_USE;
struct hf_status site_refuse(struct hf_ctx *ctx, const struct site *site);

#endif
