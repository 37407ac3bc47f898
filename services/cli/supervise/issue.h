/* The steps of `certs issue`. The owner of the installation signs and writes the right into the
 * database; the caller, who may be root, writes what was signed. Between the two it is a text.
 * make, open, stage, grant, commit: the right comes when nothing is left that could be refused, for
 * whoever holds an older certificate of the name has it at once. */
#ifndef HF_CLI_SUPERVISE_ISSUE_H
#define HF_CLI_SUPERVISE_ISSUE_H

#include "auth/pki.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/dir.h"
#include "cli/supervise/account.h"
#include "cli/walk.h"

struct issue {
    const char *name;
    const char *role;   /* NULL until issue_make: the one that the name has */
    const char *former; /* what the name had; NULL: it is new in the tenant */
    int64_t days;
    struct walk walk;     /* to the directory */
    int out;              /* the directory, held */
    bool is_made;         /* by us, now */
    bool is_staged;       /* files are there under their names for the time being */
    const char *out_path; /* of it, absolute */
    struct account owner; /* of its files */
    struct dir_settings settings;
    struct pki_issued made;
};

#define ISSUE_NONE                                                                                 \
    {                                                                                              \
        .walk = {.fd = -1}, .out = -1                                                              \
    }

/* Wipes the key; of an issue that was not committed nothing stays in --out, nor an --out of ours.
 */
void issue_done(struct issue *issue);
static inline void issue_done_cleanup(struct issue *issue)
{
    issue_done(issue);
}

/* The command line's words. */
struct hf_status issue_parse(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* Open or make --out. FAILED_PRECONDITION, reason FOREIGN_DIRECTORY: it is another user's. */
struct hf_status issue_open(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* As the owner: the role the name has and shall have, then certificate and key. */
struct hf_status issue_make(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* issue_make, and what it made as a text (become_fn; arg is the issue). */
struct hf_status issue_send(struct cli *cli, void *arg, int fd) HF_MUST_USE;
struct hf_status issue_take(struct cli *cli, const struct hf_buf *text,
                            struct issue *issue) HF_MUST_USE;
/* The four files beside their names.
 * FAILED_PRECONDITION, reason FOREIGN_FILES: one of them is there and of nobody we know. */
struct hf_status issue_stage(struct cli *cli, struct issue *issue) HF_MUST_USE;
/* As the owner: the right (become_fn, too; fd is not used). */
struct hf_status issue_grant(struct cli *cli, void *arg, int fd) HF_MUST_USE;
/* Each file under its name; then say what was made. */
struct hf_status issue_commit(struct cli *cli, struct issue *issue) HF_MUST_USE;

#endif
