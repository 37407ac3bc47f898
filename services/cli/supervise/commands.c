/* Commands that run an installation on this machine. */
#include "cli/commands.h"

#include "cli/supervise/root.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define OPTIONS(table) .options = (table), .options_len = LEN(table)

static const struct cli_option up_options[] = {
    {"foreground", NULL, "supervise in the foreground (for systemd)", false},
    {"user", "USER", "servers run as USER (root only; holdfast)", false},
    {"port", "N", "port of the API; the next one serves metrics (first up only)", false},
};
static const struct cli_option down_options[] = {
    {"destroy", NULL, "remove the directory with vault and keys", false},
    {"yes", NULL, "do not ask", false},
};
static const struct cli_option certs_options[] = {
    {"out", "DIR", "directory for tls.crt, tls.key, ca.crt: a --dir for the client", false},
    {"role", "ROLE", "admin (default of a new name), operator, viewer, or installation-admin",
     false},
    {"days", "N", "validity (90)", false},
    {"owner", "USER[:GROUP]", "give the files to them, names or numbers (root only)", false},
};

const struct cli_command cli_supervise_commands[] = {
    {.path = "up",
     .args = "",
     .summary = "start everything on this machine; repeat it to bring back what is missing",
     OPTIONS(up_options),
     .run = cmd_up,
     .run_root = root_up},
    {.path = "down",
     .args = "",
     .summary = "stop everything; names the slots that stay behind on sources",
     .details =
         "--destroy asks on a terminal; elsewhere it needs --yes, and is refused without it\n"
         "(NOT_CONFIRMED, exit code 4): nothing is stopped or removed then.",
     OPTIONS(down_options),
     .run = cmd_down,
     .run_root = root_down},
    {.path = "doctor",
     .args = "",
     .summary = "check every dependency, permission and connection",
     .run = cmd_doctor,
     .run_root = root_doctor},
    {.path = "certs issue",
     .args = "NAME",
     .args_min = 1,
     .args_max = 1,
     .summary = "certificate, key and CA for a gRPC client",
     OPTIONS(certs_options),
     .run = cmd_certs_issue,
     .run_root = root_certs_issue},
};
const size_t cli_supervise_commands_len = LEN(cli_supervise_commands);
