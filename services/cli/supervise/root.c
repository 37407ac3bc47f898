/* The only code that acts as root, and what it does: it makes the servers' user, it opens or makes
 * the directory by descriptors, it gives an installation of an earlier release to that user
 * (move.c), and then it becomes that user. It reads no setting and follows no path below the
 * directory.
 *
 * Whose an installation is, is whose its directory is:
 *
 *   directory            what up does
 *   absent, empty        made for --user, else holdfast
 *   root's, postgres's   moved over to --user, else holdfast: an earlier release made it, or a move
 *                        was cut off
 *   has files of root's  moved within its owner: an earlier release kept some root's, or root
 *                        copied a vault or keys into it
 *   anybody else's       theirs, when it is an installation
 */
#include "cli/supervise/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/dir.h"
#include "cli/supervise/account.h"
#include "cli/supervise/become.h"
#include "cli/supervise/issue.h"
#include "cli/supervise/move.h"
#include "cli/supervise/place.h"
#include "cli/supervise/stop.h"
#include "cli/walk.h"

/* What the directory is now. */
struct site {
    struct walk walk;
    int dir; /* readable; -1 when it is not there */
    struct account owner;
    bool is_empty;
    bool is_installation; /* it has a file that only an installation has */
    bool has_roots;       /* some of it is root's, and nobody else can use that */
    bool is_old;          /* an earlier release left it, or a move was cut off */
};

static void site_done_cleanup(struct site *site)
{
    walk_done(&site->walk);
    hf_close_cleanup(&site->dir);
}

/* --- looking -------------------------------------------------------------------------------- */

static bool is_empty(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    size_t len = 0;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        len += hf_text_equal(entry->d_name, ".") || hf_text_equal(entry->d_name, "..") ? 0 : 1;
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return list != NULL && len == 0;
}

/* By names that only an installation has; the first is the last that a first `up` makes. */
static void look_inside(struct site *site)
{
    static const char *const names[] = {"holdfast.yaml", "keys", "vault", "pki"};
    struct stat found;

    site->is_empty = is_empty(site->dir);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (fstatat(site->dir, names[i], &found, AT_SYMLINK_NOFOLLOW) == 0) {
            site->is_installation = true;
            site->has_roots = site->has_roots || found.st_uid == 0;
            site->is_old = site->is_old || (i == 0 && found.st_uid == 0);
        }
    }
    site->is_old =
        site->is_installation && (site->is_old || account_objection(&site->owner) != NULL);
}

static struct hf_status look(struct cli *cli, struct site *site)
{
    struct stat found;

    HF_TRY(walk_open(&cli->ctx, cli->dir, &site->walk));
    if (*site->walk.missing != '\0') {
        return hf_success();
    }
    site->dir = openat(site->walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (site->dir < 0 || fstat(site->dir, &found) != 0) {
        return hf_fail_errno(cli->ctx.arena, errno, "opening %s", cli->dir);
    }
    site->owner = account_of(cli->ctx.arena, found.st_uid, found.st_gid);
    look_inside(site);
    return hf_success();
}

/* --- making --------------------------------------------------------------------------------- */

/* --user, else the user that set-up makes. */
static struct hf_status choose(struct cli *cli, struct account *ret_account)
{
    const char *name = cli_option(cli, "user");

    if (name == NULL) {
        return account_ensure(&cli->ctx, ret_account);
    }
    if (!account_find(cli->ctx.arena, name, ret_account)) {
        return hf_fail(cli->ctx.arena, HF_NOT_FOUND, "there is no user %s on this machine", name);
    }
    const char *objection = account_objection(ret_account);

    return objection == NULL
               ? hf_success()
               : hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "SERVERS_USER", NULL,
                              "the servers cannot run as %s: %s; choose another --user or none",
                              name, objection);
}

/* Root sees to it before anything is made: the user must be able to come in. */
static struct hf_status make(struct cli *cli, struct site *site, const struct account *account)
{
    bool is_made = false;

    HF_TRY(place_check_reach(&cli->ctx, cli->dir, account));
    hf_close_cleanup(&site->dir);
    HF_TRY(walk_make(&cli->ctx, &site->walk, account->uid, &site->dir, &is_made));
    if (fchown(site->dir, account->uid, account->gid) != 0 || fchmod(site->dir, 0700) != 0) {
        return hf_fail_errno(cli->ctx.arena, errno, "giving %s to %s", cli->dir, account->name);
    }
    site->owner = *account;
    return hf_success();
}

static struct hf_status move_over(struct cli *cli, struct site *site)
{
    struct move move = {.dir = site->dir, .path = cli->dir, .to = site->owner};
    bool is_another = account_objection(&site->owner) != NULL;
    struct account former = site->owner;

    if (is_another) {
        HF_TRY(choose(cli, &move.to));
    }
    if (former.uid == 0) {
        former = account_of(cli->ctx.arena, move_former(site->dir, &move.to), 0);
    }
    HF_TRY(place_check_reach(&cli->ctx, cli->dir, &move.to));
    move.former = former.uid;
    HF_TRY(stop_all(cli, site->dir, &former));
    HF_TRY(move_run(&cli->ctx, &move));
    fprintf(stderr, "moved %s from %s to %s\n", cli->dir, former.name, move.to.name);
    if (is_another && former.uid != 0) {
        fprintf(stderr, "%s could read the vault's key until now\n", former.name);
    }
    site->owner = move.to;
    site->is_old = false;
    return hf_success();
}

static struct hf_status foreign(struct cli *cli, const struct site *site)
{
    return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                        "%s belongs to %s and is no installation; choose another --dir", cli->dir,
                        site->owner.name);
}

/* A directory that has no installation yet. */
static struct hf_status settle(struct cli *cli, struct site *site)
{
    struct account account;

    HF_TRY(place_check_path(&cli->ctx, cli->dir));
    HF_TRY(choose(cli, &account));
    if (site->dir >= 0 && site->owner.uid == account.uid) {
        site->owner = account;
        return hf_success(); /* a first up that was cut off, or made by hand */
    }
    if (site->dir >= 0 && (site->owner.uid != 0 || !site->is_empty)) {
        return foreign(cli, site);
    }
    return make(cli, site, &account);
}

static struct hf_status check_user(struct cli *cli, const struct site *site)
{
    const char *wanted = cli_option(cli, "user");

    return wanted == NULL || hf_text_equal(wanted, site->owner.name)
               ? hf_success()
               : hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "FIRST_UP_ONLY", NULL,
                              "%s belongs to %s since the first up; --user cannot change that",
                              cli->dir, site->owner.name);
}

/* --- the commands --------------------------------------------------------------------------- */

/* The owner of an installation that is there. */
static struct hf_status find_owner(struct cli *cli, struct account *ret_owner)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};
    struct dir_settings settings;

    HF_TRY(look(cli, &site));
    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &settings)); /* says that there is none */
    if (site.is_old) {
        return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "OLD_OWNER", NULL,
                            "%s belongs to %s as an earlier release left it; `holdfast up --dir "
                            "%s` gives it to a user of its own",
                            cli->dir, site.owner.name, cli->dir);
    }
    *ret_owner = site.owner;
    return hf_success();
}

/* A client's directory, whose holdfast.yaml says so, is nothing to be run or moved. */
static struct hf_status check_kind(struct cli *cli, const struct site *site)
{
    struct dir_settings settings;
    struct hf_status status =
        site->is_installation ? dir_load_own(&cli->ctx, cli->dir, &settings) : hf_success();

    return status.code == HF_UNAVAILABLE ? hf_success() : status;
}

struct hf_status root_up(struct cli *cli)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};

    HF_TRY(look(cli, &site));
    HF_TRY(check_kind(cli, &site));
    if (site.is_old || site.has_roots) {
        HF_TRY(move_over(cli, &site));
    } else if (!site.is_installation) {
        HF_TRY(settle(cli, &site));
    }
    HF_TRY(check_user(cli, &site));
    HF_TRY(become(&cli->ctx, &site.owner));
    return cmd_up(cli);
}

struct hf_status root_doctor(struct cli *cli)
{
    struct account owner;

    HF_TRY(find_owner(cli, &owner));
    HF_TRY(become(&cli->ctx, &owner));
    return cmd_doctor(cli);
}

static struct hf_status down(struct cli *cli, void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return cmd_down(cli);
}

/* The child has told what went wrong; its exit code is ours. */
static struct hf_status as_told(struct cli *cli, struct hf_status status)
{
    return cli->exit_code >= 0 ? hf_success() : status;
}

/* The owner empties the directory; its name is in a directory of ours, and only an empty one goes.
 */
static struct hf_status remove_name(struct cli *cli)
{
    HF_CLEANUP(walk_done) struct walk walk = {.fd = -1};
    const char *slash = strrchr(cli->dir, '/');
    const char *parent =
        slash == cli->dir ? "/" : hf_strndup(cli->ctx.arena, cli->dir, (size_t)(slash - cli->dir));

    HF_TRY(walk_open(&cli->ctx, parent, &walk));
    return *walk.missing != '\0' || unlinkat(walk.fd, slash + 1, AT_REMOVEDIR) == 0 ||
                   errno == ENOENT
               ? hf_success()
               : hf_fail_errno(cli->ctx.arena, errno, "removing %s", cli->dir);
}

struct hf_status root_down(struct cli *cli)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};
    struct dir_settings settings;

    HF_TRY(look(cli, &site));
    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &settings));
    if (site.is_old) {
        HF_TRY(move_over(cli, &site));
    }
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    struct hf_status status = become_run(cli, &site.owner, down, NULL, &answer);

    if (!hf_is_ok(status)) {
        return as_told(cli, status);
    }
    return cli_flag(cli, "destroy") ? remove_name(cli) : status;
}

struct hf_status root_certs_issue(struct cli *cli)
{
    HF_CLEANUP(issue_done) struct issue issue = {.out = -1};
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};
    struct account owner;

    HF_TRY(issue_parse(cli, &issue));
    HF_TRY(find_owner(cli, &owner));
    HF_TRY(issue_open(cli, &issue));
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    struct hf_status status = become_run(cli, &owner, issue_send, &issue, &answer);

    if (!hf_is_ok(status)) {
        return as_told(cli, status);
    }
    status = issue_take(cli, &answer, &issue);
    explicit_bzero(answer.ptr, answer.len);
    HF_TRY(status);
    return issue_save(cli, &issue);
}
