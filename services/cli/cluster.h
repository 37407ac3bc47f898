/* What the commands about clusters share. */
#ifndef HF_CLI_CLUSTER_H
#define HF_CLI_CLUSTER_H

#include <stdio.h>

#include "cli/cli.h"
#include "cli/client.h"

/* One cluster in the form that was asked for. */
struct hf_status cluster_print(struct cli *cli, const PbBackup__Cluster *cluster) HF_MUST_USE;
/* A finding on lines of its own. What stands before the message and before what mends it is ours:
 * whatever a source says of itself in a message, it makes no line of a fix. */
struct finding_keys {
    const char *message;
    const char *fix;
};
void cluster_finding(const struct cli *cli, FILE *file, const PbBackup__Cluster__Finding *finding,
                     const struct finding_keys *keys);

#endif
