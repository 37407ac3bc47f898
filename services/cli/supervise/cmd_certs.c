/* certs issue: a client certificate, and the right that goes with it. */
#include <stdio.h>
#include <unistd.h>

#include "auth/operator.h"
#include "auth/pki.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/supervise/operators.h"
#include "cli/supervise/place.h"
#include "codec/json.h"

#define DAYS_DEFAULT 90
#define DAYS_MAX 825
#define JSON_MAX ((size_t)1 << 16)

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
    bool is_operator = hf_text_equal(role, AUTH_OPERATOR_ROLE);

    HF_TRY(operators_set(&cli->ctx, place, name, is_operator));
    return auth_identity_put(&cli->ctx, db, cli->tenant, &peer, is_operator ? "admin" : role);
}

struct issued {
    const char *name;
    const char *role;
    const char *out;
    const char *endpoint;
    int64_t days;
};

static struct hf_status print(struct cli *cli, const struct issued *issued)
{
    struct hf_arena *arena = cli->ctx.arena;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const char *crt = hf_path_join(arena, issued->out, "tls.crt");
    struct pki_facts facts;
    bool is_done = false;

    HF_TRY(pki_read(&cli->ctx, crt, &facts));
    hf_buf_init(&text, JSON_MAX);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "name", issued->name);
    codec_json_put_text(&json, "tenant", cli->tenant);
    codec_json_put_text(&json, "role", issued->role);
    codec_json_put_text(&json, "certificate", crt);
    codec_json_put_text(&json, "key", hf_path_join(arena, issued->out, "tls.key"));
    codec_json_put_text(&json, "ca", hf_path_join(arena, issued->out, "ca.crt"));
    codec_json_put_text(&json, "expireTime",
                        hf_printf(arena, "%.19sZ", hf_time_text(arena, facts.not_after_us)));
    codec_json_put_text(&json, "endpoint", issued->endpoint);
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, arena, "the certificate"));
    HF_TRY(out_json(cli, hf_buf_text(&text), &is_done));
    if (cli->output == CLI_TABLE) {
        printf("%s/tls.crt, tls.key, ca.crt: client %s, %s in tenant %s, %lld days\nendpoint %s\n",
               issued->out, issued->name, issued->role, cli->tenant, (long long)issued->days,
               issued->endpoint);
    }
    return hf_success();
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
    if (!auth_role_exists(role) && !hf_text_equal(role, AUTH_OPERATOR_ROLE)) {
        return cli_usage(
            cli, "--role must be admin, operator, viewer or " AUTH_OPERATOR_ROLE ", not %s", role);
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
    const struct issued issued = {name, role, out, settings.endpoint, days};

    return print(cli, &issued);
}
