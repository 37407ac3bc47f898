/* Every command's function, by file. */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

#include "cli/cli.h"

/* cmd_cluster.c */
struct hf_status cmd_cluster_update(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_cluster_add(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_cluster_list(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_cluster_describe(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_cluster_remove(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_wal_status(struct cli *cli) HF_MUST_USE;
/* cmd_backup.c */
struct hf_status cmd_backup_create(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_backup_list(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_backup_describe(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_backup_verify(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_catalog_rebuild(struct cli *cli) HF_MUST_USE;
/* cmd_job.c */
struct hf_status cmd_job_list(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_job_describe(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_job_watch(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_job_cancel(struct cli *cli) HF_MUST_USE;
/* cmd_info.c */
struct hf_status cmd_info(struct cli *cli) HF_MUST_USE;
/* cmd_offline.c */
struct hf_status cmd_offline_list(struct cli *cli) HF_MUST_USE;
/* cmd_restore.c */
struct hf_status cmd_restore(struct cli *cli) HF_MUST_USE;
/* cmd_wal.c */
struct hf_status cmd_wal_fetch(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_wal_push(struct cli *cli) HF_MUST_USE;
/* supervise/ */
struct hf_status cmd_up_check(struct cli *cli) HF_MUST_USE; /* the options of up alone */
struct hf_status cmd_up(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_down(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_doctor(struct cli *cli) HF_MUST_USE;
struct hf_status cmd_certs_issue(struct cli *cli) HF_MUST_USE;

#endif
