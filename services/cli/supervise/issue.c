/* A client's directory: tls.crt, tls.key, ca.crt and a holdfast.yaml, so that --dir takes it. */
#include "cli/supervise/issue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/operator.h"
#include "base/beneath.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/out.h"
#include "cli/supervise/operators.h"
#include "cli/supervise/place.h"
#include "cli/walk.h"
#include "codec/hash.h"
#include "codec/json.h"

#define DAYS_DEFAULT 90
#define DAYS_MAX 825
#define JSON_MAX ((size_t)1 << 16)
#define TEMP_MAX 64

/* In the order in which they take their names: a directory that was cut off is known by its CA. */
static const char *const names[] = {"ca.crt", "tls.key", "tls.crt", "holdfast.yaml"};

static const char *temp_name(const char *name, char ret_temp[TEMP_MAX])
{
    (void)snprintf(ret_temp, TEMP_MAX, ".%s.%d", name, (int)getpid());
    return ret_temp;
}

static void unstage(const struct issue *issue)
{
    char temp[TEMP_MAX];

    for (size_t i = 0; issue->is_staged && i < HF_LEN(names); i++) {
        (void)unlinkat(issue->out, temp_name(names[i], temp), 0);
    }
    if (issue->is_made && strchr(issue->walk.missing, '/') == NULL) {
        (void)unlinkat(issue->walk.fd, issue->walk.missing, AT_REMOVEDIR);
    }
}

void issue_done(struct issue *issue)
{
    unstage(issue);
    if (issue->made.key != NULL) {
        codec_wipe(issue->made.key, strlen(issue->made.key));
    }
    hf_close_cleanup(&issue->out);
    walk_done(&issue->walk);
}

/* --- words ---------------------------------------------------------------------------------- */

static struct hf_status take_days(struct cli *cli, int64_t *ret_days)
{
    const char *text = cli_option(cli, "days");

    *ret_days = DAYS_DEFAULT;
    if (text != NULL && (!hf_parse_i64(text, ret_days) || *ret_days < 1 || *ret_days > DAYS_MAX)) {
        return cli_usage(cli, "--days must be 1 to %d, not %s", DAYS_MAX, text);
    }
    return hf_success();
}

static struct hf_status take_owner(struct cli *cli, struct account *ret_owner)
{
    const char *name = cli_option(cli, "owner");

    HF_TRY(account_of(cli->ctx.arena, geteuid(), getegid(), ret_owner));
    if (name == NULL || hf_text_equal(name, ret_owner->name)) {
        return hf_success();
    }
    if (geteuid() != 0) {
        return cli_usage(cli, "--owner is for root: files of ours cannot be given to %s", name);
    }
    return account_parse(cli->ctx.arena, name, ret_owner);
}

struct hf_status issue_parse(struct cli *cli, struct issue *issue)
{
    issue->name = cli_arg(cli, 0);
    issue->role = cli_flag(cli, "role") ? cli_option(cli, "role") : NULL;
    if (hf_text_empty(cli_option(cli, "out"))) {
        return cli_usage(cli, "--out DIR is missing");
    }
    if (!hf_is_name(issue->name)) {
        return cli_usage(cli,
                         "%s is no name: a lower-case letter and up to 39 letters, digits or "
                         "hyphens",
                         issue->name);
    }
    if (hf_text_equal(issue->name, AUTH_LOCAL_NAME)) {
        return cli_usage(cli,
                         "%s is this machine's own command line, whose certificate and rights "
                         "`holdfast up` keeps; choose another name",
                         issue->name);
    }
    if (issue->role != NULL && !auth_role_exists(issue->role) &&
        !hf_text_equal(issue->role, AUTH_OPERATOR_ROLE)) {
        return cli_usage(cli,
                         "--role must be admin, operator, viewer or " AUTH_OPERATOR_ROLE ", not %s",
                         issue->role);
    }
    HF_TRY(take_owner(cli, &issue->owner));
    return take_days(cli, &issue->days);
}

/* --- the directory --------------------------------------------------------------------------- */

struct hf_status issue_open(struct cli *cli, struct issue *issue)
{
    struct hf_arena *arena = cli->ctx.arena;
    const char *said = "";
    struct stat found;

    HF_TRY(dir_absolute(&cli->ctx, cli_option(cli, "out"), &said));
    HF_TRY(walk_open(&cli->ctx, said, &issue->walk));
    HF_TRY(walk_make(&cli->ctx, &issue->walk, issue->owner.uid, &issue->out, &issue->is_made));
    issue->out_path = issue->walk.path;
    if (issue->is_made && fchown(issue->out, issue->owner.uid, issue->owner.gid) != 0) {
        return hf_fail_errno(arena, errno, "giving %s to %s", issue->out_path, issue->owner.name);
    }
    if (fstat(issue->out, &found) != 0 ||
        (found.st_uid != issue->owner.uid && found.st_uid != geteuid())) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                            "%s belongs to user %u; choose a new --out, or say whose the files "
                            "are with --owner",
                            issue->out_path, (unsigned)found.st_uid);
    }
    return hf_success();
}

/* --- as the owner ---------------------------------------------------------------------------- */

static struct db *open_db(struct cli *cli, const struct place *place)
{
    const struct db_options options = {
        .conninfo = place_conninfo(cli->ctx.arena, place, "holdfast_app", "holdfast"),
        .role = DB_APP,
        .schema = "platform",
        .application_name = "holdfast-certs"};

    return db_new(&options);
}

/* A new certificate is no new right: a name that is known keeps its role unless one is said. */
static struct hf_status choose_role(struct cli *cli, const struct place *place, struct issue *issue)
{
    HF_CLEANUP(db_free) struct db *db = open_db(cli, place);
    const struct auth_peer peer = {"client", issue->name};
    const char *role = NULL;
    bool is_operator = false;

    HF_TRY(auth_identity_get(&cli->ctx, db, cli->tenant, &peer, &role, &is_operator));
    issue->former = is_operator ? AUTH_OPERATOR_ROLE : role;
    if (issue->role == NULL) {
        issue->role = issue->former != NULL ? issue->former : "admin";
    }
    return hf_success();
}

struct hf_status issue_grant(struct cli *cli, void *arg, int fd)
{
    const struct issue *issue = arg;
    const struct auth_peer peer = {"client", issue->name};
    bool is_operator = hf_text_equal(issue->role, AUTH_OPERATOR_ROLE);
    struct place place;

    (void)fd;
    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    HF_CLEANUP(db_free) struct db *db = open_db(cli, &place);
    struct hf_status status =
        auth_identity_put(&cli->ctx, db, cli->tenant, &peer, is_operator ? "admin" : issue->role);

    if (hf_is_ok(status)) {
        status = operators_set(&cli->ctx, &place, issue->name, is_operator);
    }
    return hf_wrap(cli->ctx.arena, status, "registering client %s", issue->name);
}

struct hf_status issue_make(struct cli *cli, struct issue *issue)
{
    struct place place;

    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &issue->settings));
    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    const struct pki_request request = {
        .ca_dir = hf_path_join(cli->ctx.arena, place.pki, "ca"),
        .install_id = issue->settings.install_id,
        .kind = "client",
        .name = issue->name,
        .validity_s = issue->days * PKI_DAY_S,
    };

    HF_TRY(hf_wrap(cli->ctx.arena, choose_role(cli, &place, issue), "registering client %s",
                   issue->name));
    return pki_sign(&cli->ctx, &request, &issue->made);
}

struct hf_status issue_send(struct cli *cli, void *arg, int fd)
{
    struct issue *issue = arg;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    HF_TRY(issue_make(cli, issue));
    hf_buf_init(&text, JSON_MAX);
    struct codec_json json = codec_json_open(&text, 0);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "role", issue->role);
    codec_json_put_text(&json, "former", issue->former != NULL ? issue->former : "");
    codec_json_put_text(&json, "installId", issue->settings.install_id);
    codec_json_put_text(&json, "endpoint", issue->settings.endpoint);
    codec_json_put_text(&json, "metrics", issue->settings.metrics);
    codec_json_put_text(&json, "crt", issue->made.crt);
    codec_json_put_text(&json, "key", issue->made.key);
    codec_json_put_text(&json, "ca", issue->made.ca);
    codec_json_put_int(&json, "notAfterUs", issue->made.not_after_us);
    codec_json_end(&json);
    struct hf_status status = codec_json_close(&json, cli->ctx.arena, "the certificate");

    if (hf_is_ok(status)) {
        status = hf_write_all(cli->ctx.arena, fd, text.ptr, text.len, "the certificate");
    }
    codec_wipe(text.ptr, text.len);
    return status;
}

/* --- as the caller --------------------------------------------------------------------------- */

struct hf_status issue_take(struct cli *cli, const struct hf_buf *text, struct issue *issue)
{
    const struct codec_value *value = NULL;

    HF_TRY(codec_json_parse(cli->ctx.arena, (struct hf_str){(const char *)text->ptr, text->len},
                            "the certificate", &value));
    const char *const texts[] = {
        codec_value_text(value, "installId"), codec_value_text(value, "endpoint"),
        codec_value_text(value, "metrics"),   codec_value_text(value, "crt"),
        codec_value_text(value, "key"),       codec_value_text(value, "ca"),
        codec_value_text(value, "role"),      codec_value_text(value, "former")};

    for (size_t i = 0; i < HF_LEN(texts); i++) {
        if (texts[i] == NULL) {
            return hf_fail(cli->ctx.arena, HF_INTERNAL, "the certificate lacks a part");
        }
    }
    issue->role = texts[6];
    issue->former = hf_text_empty(texts[7]) ? NULL : texts[7];
    issue->settings =
        (struct dir_settings){.install_id = texts[0], .endpoint = texts[1], .metrics = texts[2]};
    issue->made = (struct pki_issued){.crt = texts[3],
                                      .key = hf_strdup(cli->ctx.arena, texts[4]),
                                      .ca = texts[5],
                                      .not_after_us = codec_value_int(value, "notAfterUs", 0)};
    return hf_success();
}

/* New under another name, given away by its descriptor, later renamed: all below the held
 * directory. */
static struct hf_status stage_file(struct cli *cli, const struct issue *issue, const char *name,
                                   const char *text)
{
    struct hf_arena *arena = cli->ctx.arena;
    char temp[TEMP_MAX];
    HF_CLEANUP(hf_close)
    int fd = openat(issue->out, temp_name(name, temp),
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(arena, errno, "creating %s/%s", issue->out_path, temp);
    }
    HF_TRY(hf_write_all(arena, fd, text, strlen(text), name));
    if (fchmod(fd, 0600) != 0 ||
        (geteuid() == 0 && fchown(fd, issue->owner.uid, issue->owner.gid) != 0) || fsync(fd) != 0) {
        return hf_fail_errno(arena, errno, "creating %s/%s", issue->out_path, name);
    }
    return hf_success();
}

static struct hf_status print(struct cli *cli, const struct issue *issue)
{
    struct hf_arena *arena = cli->ctx.arena;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_changed = issue->former != NULL && !hf_text_equal(issue->former, issue->role);
    bool is_done = false;

    hf_buf_init(&text, JSON_MAX);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "name", issue->name);
    codec_json_put_text(&json, "tenant", cli->tenant);
    codec_json_put_text(&json, "role", issue->role);
    if (is_changed) {
        codec_json_put_text(&json, "formerRole", issue->former);
    }
    codec_json_put_text(&json, "certificate", hf_path_join(arena, issue->out_path, "tls.crt"));
    codec_json_put_text(&json, "key", hf_path_join(arena, issue->out_path, "tls.key"));
    codec_json_put_text(&json, "ca", hf_path_join(arena, issue->out_path, "ca.crt"));
    codec_json_put_text(&json, "expireTime",
                        hf_printf(arena, "%.19sZ", hf_time_text(arena, issue->made.not_after_us)));
    codec_json_put_text(&json, "endpoint", issue->settings.endpoint);
    codec_json_put_text(&json, "directory", issue->out_path);
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, arena, "the certificate"));
    HF_TRY(out_json(cli, hf_buf_text(&text), &is_done));
    if (cli->output == CLI_TABLE) {
        printf("%s/tls.crt, tls.key, ca.crt: client %s, %s%s%s in tenant %s, %lld days\nendpoint "
               "%s\n"
               "holdfast --dir %s works as this client\n",
               issue->out_path, issue->name, is_changed ? issue->former : "",
               is_changed ? " → " : "", issue->role, cli->tenant, (long long)issue->days,
               issue->settings.endpoint, out_word(arena, issue->out_path));
    }
    return hf_success();
}

/* A client's directory of ours says so; one of an earlier release has our CA and no holdfast.yaml.
 * In any other one these names are somebody's key. */
static struct hf_status check_ours(struct cli *cli, const struct issue *issue)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf ca = {0};
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(issue->out, "ca.crt", O_RDONLY | O_NONBLOCK, 0);
    struct dir_settings settings = {.install_id = ""};
    struct hf_status found = dir_load_at(&cli->ctx, issue->out, issue->out_path, &settings);
    bool is_clients = found.info != NULL && hf_text_equal(found.info->reason, DIR_CLIENT_REASON) &&
                      hf_text_equal(settings.install_id, issue->settings.install_id);
    struct stat info;
    bool is_there = false;

    hf_buf_init(&ca, JSON_MAX);
    bool has_our_ca = fd >= 0 && hf_is_ok(hf_read_open(cli->ctx.arena, fd, "ca.crt", &ca)) &&
                      hf_text_equal(hf_buf_text(&ca), issue->made.ca);

    for (size_t i = 0; i < HF_LEN(names); i++) {
        is_there = is_there || fstatat(issue->out, names[i], &info, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return !is_there || is_clients || (has_our_ca && found.code == HF_UNAVAILABLE)
               ? hf_success()
               : hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "FOREIGN_FILES", NULL,
                              "%s has a tls.key, tls.crt, ca.crt or holdfast.yaml that is no "
                              "client's of this installation; choose a new --out",
                              issue->out_path);
}

struct hf_status issue_stage(struct cli *cli, struct issue *issue)
{
    HF_TRY(check_ours(cli, issue));
    issue->settings.client = issue->name;
    const char *const texts[] = {issue->made.ca, issue->made.key, issue->made.crt,
                                 dir_text(cli->ctx.arena, &issue->settings)};

    _Static_assert(HF_LEN(texts) == HF_LEN(names), "a text for each name");
    issue->is_staged = true;
    for (size_t i = 0; i < HF_LEN(names); i++) {
        HF_TRY(stage_file(cli, issue, names[i], texts[i]));
    }
    return hf_success();
}

struct hf_status issue_commit(struct cli *cli, struct issue *issue)
{
    char temp[TEMP_MAX];

    issue->is_made = false;
    for (size_t i = 0; i < HF_LEN(names); i++) {
        if (renameat(issue->out, temp_name(names[i], temp), issue->out, names[i]) != 0) {
            return hf_fail_errno(cli->ctx.arena, errno, "creating %s/%s", issue->out_path,
                                 names[i]);
        }
    }
    issue->is_staged = false;
    if (fsync(issue->out) != 0) {
        return hf_fail_errno(cli->ctx.arena, errno, "flushing %s", issue->out_path);
    }
    return print(cli, issue);
}
