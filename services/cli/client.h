/* Calls to the services of this installation. */
#ifndef HF_CLI_CLIENT_H
#define HF_CLI_CLIENT_H

#include "cli/cli.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "rpc/client.h"

/* Connect with the command line's own certificate. FAILED_PRECONDITION CERTIFICATE_EXPIRED …;
 * UNAVAILABLE no installation. */
struct hf_status client_open(struct cli *cli, struct rpc_client **ret_client) HF_MUST_USE;

/* One call of BackupService or JobService by method name. ret_resp has the method's type. */
struct hf_status client_backup(struct cli *cli, struct rpc_client *client, const char *method,
                               const ProtobufCMessage *req, void **ret_resp) HF_MUST_USE;
struct hf_status client_jobs(struct cli *cli, struct rpc_client *client, const char *method,
                             const ProtobufCMessage *req, void **ret_resp) HF_MUST_USE;

/* One List method of BackupService or JobService to its end: ret_resp has the items of all pages.
 * req gets the size and token of each page.  Errors  RESOURCE_EXHAUSTED LIST_TOO_LONG */
struct hf_status client_list(struct cli *cli, struct rpc_client *client, const char *method,
                             ProtobufCMessage *req, void **ret_resp) HF_MUST_USE;

/* tenants/{--tenant}, tenants/…/clusters/NAME; NAME may be a whole resource name already. */
char *client_tenant(struct cli *cli);
char *client_cluster(struct cli *cli, const char *name);
/* A backup given as its resource name or its ID alone. NOT_FOUND suggests near IDs. */
struct hf_status client_find_backup(struct cli *cli, struct rpc_client *client, const char *text,
                                    PbBackup__Backup **ret_backup) HF_MUST_USE;
char *client_job(struct cli *cli, const char *text);

/* Show the job's progress until it ends. Ctrl-C stops watching and says how to go on and how to
 * cancel (CANCELLED). ret_job: its end, whatever it was. */
struct hf_status client_watch(struct cli *cli, struct rpc_client *client, const char *job,
                              PbJobs__Job **ret_job) HF_MUST_USE;
/* An ended job as a status: OK, or its error with code and reason. */
struct hf_status client_job_status(struct cli *cli, const PbJobs__Job *job) HF_MUST_USE;

/* A list of backups in the form that -o asks for (cmd_backup.c). */
struct hf_status out_backups(struct cli *cli,
                             const PbBackup__ListBackupsResponse *list) HF_MUST_USE;

/* Does the vault, as the service finds it, show nothing of what the catalogue knows? Pure. */
bool client_is_vault_closed(const PbBackup__Cluster *cluster);

/* Texts of wire enums for tables; static. */
const char *client_enum(const ProtobufCEnumDescriptor *type, int value);
/* Is text a name of the enum? INVALID_ARGUMENT lists those that are. */
struct hf_status client_check_enum(struct cli *cli, const ProtobufCEnumDescriptor *type,
                                   const char *option, const char *text) HF_MUST_USE;
/* Timestamp to text, "" for none. */
const char *client_time(struct cli *cli, const Google__Protobuf__Timestamp *time);

#endif
