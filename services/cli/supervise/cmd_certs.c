/* certs issue: a client certificate, and the right that goes with it. */
#include <stdio.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/pki.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/supervise/place.h"

#define DAYS_DEFAULT 90
#define DAYS_MAX 825

static struct hf_status take_days(struct cli *cli, int64_t *ret_days)
{
    const char *text = cli_option(cli, "days");

    *ret_days = DAYS_DEFAULT;
    if (text != NULL && (!hf_parse_i64(text, ret_days) || *ret_days < 1 || *ret_days > DAYS_MAX)) {
        return cli_usage(cli, "--days must be 1 to %d, not %s", DAYS_MAX, text);
    }
    return hf_success();
}

/* The right first: a certificate without one would only be refused with another message. */
static struct hf_status grant(struct cli *cli, const struct place *place, const char *name,
                              const char *role)
{
    const struct db_options options = {
        .conninfo = place_conninfo(cli->ctx.arena, place, "holdfast_app", "holdfast"),
        .role = DB_APP,
        .schema = "platform",
        .application_name = "holdfast-certs"};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);
    const struct auth_peer peer = {"client", name};

    return auth_identity_put(&cli->ctx, db, cli->tenant, &peer, role);
}

struct hf_status cmd_certs_issue(struct cli *cli)
{
    const char *name = cli_arg(cli, 0);
    const char *out = cli_option(cli, "out");
    const char *role = cli_flag(cli, "role") ? cli_option(cli, "role") : "admin";
    struct dir_settings settings;
    struct place place;
    int64_t days = 0;

    if (hf_text_empty(out)) {
        return cli_usage(cli, "--out DIR is missing");
    }
    if (!hf_is_name(name)) {
        return cli_usage(cli,
                         "%s is no name: a lower-case letter and up to 39 letters, digits or "
                         "hyphens",
                         name);
    }
    if (!auth_role_exists(role)) {
        return cli_usage(cli, "--role must be admin, operator or viewer, not %s", role);
    }
    HF_TRY(take_days(cli, &days));
    HF_TRY(dir_load(&cli->ctx, cli->dir, &settings));
    HF_TRY(place_of(&cli->ctx, cli->dir, settings.user, &place));
    const struct pki_request request = {
        .ca_dir = hf_path_join(cli->ctx.arena, place.pki, "ca"),
        .out_dir = out,
        .install_id = settings.install_id,
        .kind = "client",
        .name = name,
        .validity_s = days * PKI_DAY_S,
    };

    HF_TRY(hf_wrap(cli->ctx.arena, grant(cli, &place, name, role), "registering client %s", name));
    HF_TRY(pki_issue(&cli->ctx, &request));
    if (cli->output == CLI_TABLE) {
        printf("%s/tls.crt, tls.key, ca.crt: client %s, %s in tenant %s, %lld days\nendpoint %s\n",
               out, name, role, cli->tenant, (long long)days, settings.endpoint);
    }
    return hf_success();
}
