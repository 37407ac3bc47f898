/* cluster add, cluster update: how a source is reached. Secrets come from files and standard input,
 * never from argv; files are read here and their content is sent: the service opens no path of a
 * user's. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/out.h"
#include "pgwire/dsn.h"
#include "svc/config.h"

#define PASSWORD_MAX 4096
#define PGPASS_MAX (1u << 20)
#define PEM_MAX (64u << 10)
#define PEM_CA_MAX (512u << 10)

/* --- the password, never from argv ---------------------------------------------------------- */

static struct hf_status first_line(struct cli *cli, struct hf_buf *text, const char **ret_line)
{
    HF_TRY(hf_buf_status(text, cli->ctx.arena, "the password"));
    const char *all = hf_buf_text(text);

    *ret_line = hf_strndup(cli->ctx.arena, all, strcspn(all, "\r\n"));
    return hf_success();
}

static struct hf_status from_file(struct cli *cli, const char *path, const char **ret_password)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, PASSWORD_MAX);
    HF_TRY(input_file(cli, path, &text));
    HF_TRY(first_line(cli, &text, ret_password));
    return **ret_password == '\0' ? hf_fail(cli->ctx.arena, HF_INVALID_ARGUMENT,
                                            "--password-file %s: its first line is empty", path)
                                  : hf_success();
}

static struct hf_status from_pgpass(struct cli *cli, const char *dsn, const char **ret_password)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct pgwire_dsn parsed;
    const char *path = svc_getenv("PGPASSFILE");
    const char *home = svc_getenv("HOME");

    *ret_password = "";
    if (path == NULL && home != NULL) {
        path = hf_path_join(cli->ctx.arena, home, ".pgpass");
    }
    hf_buf_init(&text, PGPASS_MAX);
    if (path == NULL || !hf_is_ok(hf_read_file(cli->ctx.arena, path, &text))) {
        return hf_success();
    }
    HF_TRY(pgwire_dsn_parse(cli->ctx.arena, dsn, &parsed));
    const char *found = pgwire_pgpass_find(cli->ctx.arena, hf_buf_text(&text), &parsed);

    *ret_password = found == NULL ? "" : found;
    return hf_success();
}

static struct hf_status find_password(struct cli *cli, const char *dsn, const char **ret_password)
{
    if (cli_flag(cli, "password-stdin")) {
        return input_line(cli, "password: ", true, PASSWORD_MAX, ret_password);
    }
    if (cli_flag(cli, "password-file")) {
        return from_file(cli, cli_option(cli, "password-file"), ret_password);
    }
    const char *environment = svc_getenv("PGPASSWORD");

    if (environment != NULL) {
        *ret_password = environment;
        return hf_success();
    }
    return from_pgpass(cli, dsn, ret_password);
}

/* --- certificates --------------------------------------------------------------------------- */

/* Both forms are called .crt and .key. */
static struct hf_status check_form(struct cli *cli, const char *option, struct hf_buf *text)
{
    const char *path = out_word(cli->ctx.arena, cli_option(cli, option));
    const char *tool = hf_text_equal(option, "key-file") ? "pkey" : "x509";

    if (strspn(hf_buf_text(text), " \t\r\n") == text->len) { /* what was to make it has failed */
        return hf_fail(cli->ctx.arena, HF_INVALID_ARGUMENT,
                       "--%s %s is empty; --clear-certs forgets those that are not given", option,
                       path);
    }
    if (memchr(text->ptr, '\0', text->len) == NULL) {
        return hf_success();
    }
    return hf_fail(cli->ctx.arena, HF_INVALID_ARGUMENT,
                   "--%s %s is not text: in DER form? write it in PEM: openssl %s -inform DER -in "
                   "%s -out %s.pem",
                   option, path, tool, path, path);
}

static struct hf_status read_pem(struct cli *cli, const char *option, size_t most, char **ret_text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    if (!cli_flag(cli, option)) {
        return hf_success();
    }
    hf_buf_init(&text, most);
    HF_TRY(input_file(cli, cli_option(cli, option), &text));
    HF_TRY(hf_buf_status(&text, cli->ctx.arena, hf_printf(cli->ctx.arena, "--%s", option)));
    HF_TRY(check_form(cli, option, &text));
    *ret_text = hf_strdup(cli->ctx.arena, hf_buf_text(&text));
    return hf_success();
}

static struct hf_status read_certificates(struct cli *cli, PbBackup__Cluster *cluster)
{
    HF_TRY(read_pem(cli, "ca-file", PEM_CA_MAX, &cluster->ca_pem));
    HF_TRY(read_pem(cli, "cert-file", PEM_MAX, &cluster->cert_pem));
    return read_pem(cli, "key-file", PEM_MAX, &cluster->key_pem);
}

/* --- commands ------------------------------------------------------------------------------- */

static struct hf_status tell(struct cli *cli, const PbBackup__Cluster *cluster)
{
    static const struct finding_keys keys = {"warning: ", "    fix: "};

    for (size_t i = 0; i < cluster->n_findings; i++) {
        cluster_finding(cli, stderr, cluster->findings[i], &keys);
    }
    return cluster_print(cli, cluster);
}

struct hf_status cmd_cluster_add(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__CreateClusterRequest req = PB_BACKUP__CREATE_CLUSTER_REQUEST__INIT;
    PbBackup__Cluster cluster = PB_BACKUP__CLUSTER__INIT;
    const char *dsn = cli_option(cli, "dsn");
    const char *password = NULL;
    void *resp = NULL;

    if (hf_text_empty(dsn)) {
        return cli_usage(cli, "--dsn is missing: holdfast cluster add NAME --dsn \"host=… user=… "
                              "dbname=…\"");
    }
    HF_TRY(pgwire_dsn_check(cli->ctx.arena, dsn));
    HF_TRY(find_password(cli, dsn, &password));
    HF_TRY(read_certificates(cli, &cluster));
    cluster.dsn = hf_strdup(cli->ctx.arena, dsn);
    cluster.password = hf_strdup(cli->ctx.arena, password);
    req.parent = client_tenant(cli);
    req.cluster_id = hf_strdup(cli->ctx.arena, cli_arg(cli, 0));
    req.cluster = &cluster;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    req.validate_only = cli_flag(cli, "validate-only");
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "CreateCluster", &req.base, &resp));
    return tell(cli, resp);
}

/* What the options name changes; nothing else does. */
static struct hf_status take_changes(struct cli *cli, PbBackup__Cluster *cluster,
                                     Google__Protobuf__FieldMask *mask)
{
    static const struct {
        const char *option;
        const char *path;
    } rows[] = {{"dsn", "dsn"},
                {"password-file", "password"},
                {"password-stdin", "password"},
                {"ca-file", "ca_pem"},
                {"cert-file", "cert_pem"},
                {"key-file", "key_pem"},
                {"clear-certs", "ca_pem"},
                {"clear-certs", "cert_pem"},
                {"clear-certs", "key_pem"}};
    const char *password = "";

    mask->paths = HF_NEW_N(cli->ctx.arena, char *, HF_LEN(rows));
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        if (cli_flag(cli, rows[i].option)) {
            mask->paths[mask->n_paths++] = hf_strdup(cli->ctx.arena, rows[i].path);
        }
    }
    if (cli_flag(cli, "dsn")) {
        HF_TRY(pgwire_dsn_check(cli->ctx.arena, cli_option(cli, "dsn")));
        cluster->dsn = hf_strdup(cli->ctx.arena, cli_option(cli, "dsn"));
    }
    if (cli_flag(cli, "password-file") || cli_flag(cli, "password-stdin")) {
        HF_TRY(find_password(cli, "", &password));
        cluster->password = hf_strdup(cli->ctx.arena, password);
    }
    return read_certificates(cli, cluster);
}

struct hf_status cmd_cluster_update(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    PbBackup__UpdateClusterRequest req = PB_BACKUP__UPDATE_CLUSTER_REQUEST__INIT;
    PbBackup__Cluster cluster = PB_BACKUP__CLUSTER__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    void *resp = NULL;

    HF_TRY(take_changes(cli, &cluster, &mask));
    if (mask.n_paths == 0) {
        return cli_usage(cli, "nothing to change: give --dsn, --password-stdin, --password-file, "
                              "--ca-file, --cert-file and --key-file, or --clear-certs");
    }
    req.name = client_cluster(cli, cli_arg(cli, 0));
    req.cluster = &cluster;
    req.update_mask = &mask;
    req.request_id = hf_uuid_new_text(cli->ctx.arena, hf_now_us());
    req.validate_only = cli_flag(cli, "validate-only");
    HF_TRY(client_open(cli, &client));
    HF_TRY(client_backup(cli, client, "UpdateCluster", &req.base, &resp));
    return tell(cli, resp);
}
