/* The offline reader: a vault directory and its key file (or recovery kit), and nothing else. */
#ifndef HF_CLI_OFFLINE_H
#define HF_CLI_OFFLINE_H

#include "cli/cli.h"
#include "objstore/objstore.h"
#include "vault/journal.h"
#include "vault/keyring.h"

struct offline {
    struct objstore *store;
    struct vault_keyring *keyring;
};

/* --vault and --key-file come together or not at all; INVALID_ARGUMENT else. */
struct hf_status offline_check_options(struct cli *cli) HF_MUST_USE;
/* Of --vault and --key-file. NOT_FOUND no vault; FAILED_PRECONDITION WRONG_KEY, NEWER_FORMAT. */
struct hf_status offline_open(struct cli *cli, struct offline *ret_offline) HF_MUST_USE;
void offline_close(struct offline *offline);

/* Call fn with each source's state. One that cannot be read hides no other: *ret_unread is its
 * failure (the first; OK when all were read). A directory without a journal is no source. */
typedef void (*offline_source_fn)(struct cli *cli, void *arg, const char *prefix,
                                  const struct vault_source_state *state);
struct hf_status offline_each(struct cli *cli, const struct offline *offline, offline_source_fn fn,
                              void *arg, struct hf_status *ret_unread) HF_MUST_USE;

/* Prefix of the source with this id or cluster name; of several the one whose newest point is
 * newest. NOT_FOUND names those that are there; by name, the failure of any source that cannot be
 * read: it may be the one. */
struct hf_status offline_find(struct cli *cli, const struct offline *offline, const char *cluster,
                              const char **ret_prefix) HF_MUST_USE;

static inline void offline_close_cleanup(struct offline *offline)
{
    offline_close(offline);
}

#endif
