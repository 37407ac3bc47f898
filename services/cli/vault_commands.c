/* Commands that read or write a vault: restore, wal fetch, wal push. */
#include "cli/commands.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define OPTIONS(table) .options = (table), .options_len = LEN(table)

static const struct cli_option restore_options[] = {
    {"to", "DIR", "directory to write; new or empty", false},
    {"at", "TIME", "to this moment, with offset: \"2026-11-23 12:00:00+00\"", false},
    {"lsn", "LSN", "to this LSN", false},
    {"xid", "XID", "to the end of this transaction", false},
    {"name", "NAME", "to this named restore point", false},
    {"latest", NULL, "to the newest durable WAL", false},
    {"immediate", NULL, "to the moment the backup became consistent", false},
    {"exclusive", NULL, "stop just before the target", false},
    {"timeline", "N", "on this timeline (the newest that holds the target)", false},
    {"backup", "BACKUP", "start from this backup", false},
    {"tablespace", "OLD=NEW", "put the tablespace of OLD (location or oid) into NEW; repeatable",
     true},
    {"tablespaces-into", "DIR", "put each tablespace into DIR/OID", false},
    {"tablespaces-as-recorded", NULL, "put tablespaces where the backup says they were", false},
    {"owner", "USER[:GROUP]",
     "give the files to them, names or numbers (root only; else the owner of DIR's parent)", false},
    {"action", "ACTION", "at the target: promote (default), pause or shutdown", false},
    {"threads", "N", "threads (one per core)", false},
    {"vault", "DIR", "read the vault in DIR without any service", false},
    {"key-file", "FILE", "key of that vault, or its recovery kit", false},
    {"cluster", "NAME", "cluster in that vault", false},
};
static const struct cli_option fetch_options[] = {
    {"cluster", "NAME", "whose WAL", false},
    {"vault", "DIR", "read the vault in DIR without any service", false},
    {"key-file", "FILE", "key of that vault, or its recovery kit", false},
};
static const struct cli_option push_options[] = {
    {"cluster", "NAME", "whose WAL", false},
};

const struct cli_command cli_vault_commands[] = {
    {.path = "restore",
     .args = "[CLUSTER]",
     .args_max = 1,
     .summary = "bring a cluster back into a directory, to a chosen moment",
     .details =
         "Exactly one of --at, --lsn, --xid, --name, --latest, --immediate. A cluster with\n"
         "tablespaces needs to be told where they go: the backup alone chooses no directory.\n"
         "This command writes DIR itself; all WAL is put in place, and the pg_ctl that\n"
         "starts it is printed. With --vault, --key-file and --cluster no service is needed.",
     OPTIONS(restore_options),
     .run = cmd_restore},
    {.path = "wal fetch",
     .args = "FILE PATH",
     .args_min = 2,
     .args_max = 2,
     .summary = "restore_command: 'holdfast wal fetch --cluster NAME %f %p'",
     .details = "Exit codes: 0 fetched, 1 not in the vault, 255 anything else (recovery must not\n"
                "take a failure for the end of WAL).",
     OPTIONS(fetch_options),
     .run = cmd_wal_fetch,
     .failure_exit = CLI_ABORT_RECOVERY},
    {.path = "wal push",
     .args = "PATH",
     .args_min = 1,
     .args_max = 1,
     .summary = "archive_command: 'holdfast wal push --cluster NAME %p'",
     .details =
         "The same bytes again succeed, other bytes under the same name are refused. Of a\n"
         ".partial segment the valid records are stored; a backup history file is not needed\n"
         "by any restore and is passed over.",
     OPTIONS(push_options),
     .run = cmd_wal_push},
};
const size_t cli_vault_commands_len = LEN(cli_vault_commands);
