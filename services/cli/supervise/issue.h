/* The steps of `certs issue`. The owner of the installation signs; the caller, who may be root,
 * writes what was signed. Between the two it is a text. */
#ifndef HF_CLI_SUPERVISE_ISSUE_H
#define HF_CLI_SUPERVISE_ISSUE_H

#include "auth/pki.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/dir.h"
#include "cli/supervise/account.h"

struct issue {
    const char *name;
    const char *role;
    int64_t days;
    int out;              /* the directory, held */
    const char *out_path; /* of it, absolute */
    struct account owner; /* of its files */
    struct dir_settings settings;
    struct pki_issued made;
};

void issue_done(struct issue *issue); /* wipes the key */
static inline void issue_done_cleanup(struct issue *issue)
{
    issue_done(issue);
}

/* The command line's words. */
struct hf_status issue_parse(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* Open or make --out. FAILED_PRECONDITION, reason FOREIGN_DIRECTORY: it is another user's. */
struct hf_status issue_open(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* As the owner: the right in the database, then certificate and key. */
struct hf_status issue_make(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* issue_make, and what it made as a text (become_fn; arg is the issue). */
struct hf_status issue_send(struct cli *cli, void *arg, int fd) HF_MUST_USE;
struct hf_status issue_take(struct cli *cli, const struct hf_buf *text,
                            struct issue *issue) HF_MUST_USE;
/* The four files, each new under its name or not at all; then say what was made. */
struct hf_status issue_save(struct cli *cli, struct issue *issue) HF_MUST_USE;

#endif
