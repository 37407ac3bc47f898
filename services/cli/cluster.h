/* What the commands about clusters share. */
#ifndef HF_CLI_CLUSTER_H
#define HF_CLI_CLUSTER_H

#include "cli/cli.h"
#include "cli/client.h"

/* One cluster in the form that was asked for. */
struct hf_status cluster_print(struct cli *cli, const PbBackup__Cluster *cluster) HF_MUST_USE;

#endif
