/* The only code that acts as root, and what it does: it makes the servers' user, it opens or makes
 * the directory by descriptors, it gives an installation of an earlier release to that user
 * (move.c), and then it becomes that user. It reads no setting and follows no path below the
 * directory.
 *
 * Whose an installation is, is whose its directory is:
 *
 *   directory            what up does
 *   absent, empty        made for --user, else holdfast
 *   root's, postgres's   moved over to --user, else holdfast: an earlier release made it, root
 *                        copied a vault and keys to it, or a move was cut off
 *   has files of root's  holdfast's: moved within its owner, an earlier release kept some root's;
 *                        anybody else's: refused with the list
 *   anybody else's       theirs, when it is an installation
 *
 * site.c has the proof that what is root's may be given away.
 */
#include "cli/supervise/root.h"

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
#include "cli/out.h"
#include "cli/supervise/account.h"
#include "cli/supervise/become.h"
#include "cli/supervise/issue.h"
#include "cli/supervise/move.h"
#include "cli/supervise/overrides.h"
#include "cli/supervise/place.h"
#include "cli/supervise/postmaster.h"
#include "cli/supervise/site.h"
#include "cli/supervise/stop.h"
#include "cli/walk.h"

/* --- making --------------------------------------------------------------------------------- */

/* --user, if its account can. */
static struct hf_status named(struct cli *cli, const char *name, struct account *ret_account)
{
    HF_TRY(account_find(cli->ctx.arena, name, ret_account));
    const char *objection = account_objection(ret_account);

    return objection == NULL
               ? hf_success()
               : hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "SERVERS_USER", NULL,
                              "the servers cannot run as %s: %s; choose another --user or none",
                              name, objection);
}

/* --user, else the user that set-up makes. That one's number may be another's in a container. */
static struct hf_status choose(struct cli *cli, struct account *ret_account)
{
    const char *name = cli_option(cli, "user");

    HF_TRY(name == NULL ? account_ensure(&cli->ctx, ret_account) : named(cli, name, ret_account));
    pid_t pid = postmaster_of(ret_account->uid);

    return pid == 0
               ? hf_success()
               : hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "SERVERS_USER", NULL,
                              "the servers cannot run as %s: PostgreSQL runs as that user (process "
                              "%d), and whoever owns the protected server must not own the vault "
                              "and its keys; choose another --user",
                              ret_account->name, (int)pid);
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

static struct hf_status judge_overrides(struct cli *cli, void *arg, int fd)
{
    struct place place;

    (void)arg;
    (void)fd;
    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    place.service = cli->service;
    return overrides_check(&cli->ctx, &place);
}

/* By whom they belong to: root reads no setting. */
static struct hf_status check_overrides(struct cli *cli, const struct account *owner)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};

    if (owner->uid == 0) {
        return hf_success(); /* nothing of it runs; its new owner looks */
    }
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    return become_run(cli, owner, judge_overrides, NULL, &answer);
}

/* The servers are another user from now on, whoever notices that. */
static void tell_moved(const struct cli *cli, const struct account *former,
                       const struct account *to)
{
    fprintf(stderr, "moved %s from %s to %s\n", cli->dir, former->name, to->name);
    if (former->uid == 0 || former->uid == to->uid) {
        return;
    }
    fprintf(stderr, "%s could read the vault's key until now\n", former->name);
    fprintf(stderr,
            "sources that are reached by a socket and let %s in by peer authentication refuse %s "
            "until each has in pg_hba.conf a line `local all,replication ROLE peer map=holdfast`, "
            "in pg_ident.conf `holdfast %s ROLE`, and was reloaded; `holdfast doctor%s` shows "
            "which\n",
            former->name, to->name, to->name, out_where(cli));
}

static struct hf_status move_over(struct cli *cli, struct site *site)
{
    struct account to = site->owner;
    bool is_another = account_objection(&site->owner) != NULL;
    struct move move;

    if (is_another) {
        HF_TRY(choose(cli, &to));
    }
    HF_TRY(site_plan_move(&cli->ctx, site, &to, &move));
    HF_TRY(place_check_reach(&cli->ctx, cli->dir, &to));
    HF_TRY(move_judge(&cli->ctx, &move));
    struct account former = site->owner;

    if (move.former != 0 && move.former != former.uid) {
        HF_TRY(account_of(cli->ctx.arena, move.former, (gid_t)move.former, &former));
    }
    HF_TRY(check_overrides(cli, &former));
    HF_TRY(stop_all(cli, site->dir, &former));
    HF_TRY(hf_wrap(cli->ctx.arena, move_run(&cli->ctx, &move),
                   "the servers of %s are stopped; `holdfast up` goes on when this is mended",
                   cli->dir));
    tell_moved(cli, &former, &to);
    site->owner = to;
    site->is_old = false;
    return hf_success();
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
        return site_refuse(&cli->ctx, site);
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

/* The child has told what went wrong; its exit code is ours. */
static struct hf_status as_told(struct cli *cli, struct hf_status status)
{
    return cli->exit_code >= 0 ? hf_success() : status;
}

/* --- the commands --------------------------------------------------------------------------- */

/* The owner of an installation that is there. */
static struct hf_status find_owner(struct cli *cli, struct account *ret_owner)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};

    HF_TRY(site_look(&cli->ctx, cli->dir, &site));
    HF_TRY(site.settings); /* says that there is none */
    if (site.is_old) {
        return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "OLD_OWNER", NULL,
                            "%s belongs to %s as an earlier release left it; `holdfast up --dir "
                            "%s` gives it to a user of its own",
                            cli->dir, site.owner.name, out_word(cli->ctx.arena, cli->dir));
    }
    *ret_owner = site.owner;
    return hf_success();
}

/* A client's directory, whose holdfast.yaml says so, is nothing to be run or moved. */
static struct hf_status check_kind(const struct site *site)
{
    return site->settings.code == HF_UNAVAILABLE ? hf_success() : site->settings;
}

struct hf_status root_up(struct cli *cli)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};

    HF_TRY(cmd_up_check(cli)); /* before anything is stopped */
    HF_TRY(site_look(&cli->ctx, cli->dir, &site));
    HF_TRY(check_kind(&site));
    if (site.is_installation && account_objection(&site.owner) == NULL) {
        HF_TRY(check_user(cli, &site));
    }
    cli->service = place_hold_service(cli->ctx.arena);
    if (site.is_old || site.has_roots) {
        struct hf_status status = move_over(cli, &site);

        if (!hf_is_ok(status)) {
            return as_told(cli, status);
        }
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
    cli->service = place_hold_service(cli->ctx.arena);
    cli->was_root = true;
    HF_TRY(become(&cli->ctx, &owner));
    return cmd_doctor(cli);
}

static struct hf_status down(struct cli *cli, void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return cmd_down(cli);
}

/* The owner empties the directory; its name is in a directory of ours, and only an empty one goes:
 * the one that was looked at, where it is now. */
static struct hf_status remove_name(struct cli *cli, const struct site *site)
{
    const char *name = strrchr(cli->dir, '/') + 1;
    HF_CLEANUP(hf_close) int parent = openat(site->dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat found;
    struct stat held;

    if (fstat(site->dir, &held) != 0 || held.st_nlink == 0 || parent < 0 ||
        fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) != 0 || found.st_ino != held.st_ino ||
        found.st_dev != held.st_dev) {
        return hf_success(); /* its owner has removed it, or called it something else */
    }
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ||
                   errno == EBUSY /* a disk */
               ? hf_success()
               : hf_fail_errno(cli->ctx.arena, errno, "removing %s", cli->dir);
}

struct hf_status root_down(struct cli *cli)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};

    HF_TRY(site_look(&cli->ctx, cli->dir, &site));
    HF_TRY(site.settings);
    if (site.is_old) {
        cli->service = place_hold_service(cli->ctx.arena);
        struct hf_status moved = move_over(cli, &site);

        if (!hf_is_ok(moved)) {
            return as_told(cli, moved);
        }
    }
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    struct hf_status status = become_run(cli, &site.owner, down, NULL, &answer);

    if (!hf_is_ok(status)) {
        return as_told(cli, status);
    }
    return cli_flag(cli, "destroy") ? remove_name(cli, &site) : status;
}

struct hf_status root_certs_issue(struct cli *cli)
{
    HF_CLEANUP(issue_done) struct issue issue = ISSUE_NONE;
    HF_CLEANUP(hf_buf_done) struct hf_buf answer = {0};
    struct account owner;

    HF_TRY(issue_parse(cli, &issue));
    HF_TRY(find_owner(cli, &owner));
    hf_buf_init(&answer, BECOME_ANSWER_MAX);
    struct hf_status status = become_run(cli, &owner, issue_send, &issue, &answer);

    if (!hf_is_ok(status)) {
        return as_told(cli, status);
    }
    status = issue_take(cli, &answer, &issue);
    explicit_bzero(answer.ptr, answer.len);
    HF_TRY(status);
    HF_TRY(issue_open(cli, &issue));
    HF_TRY(issue_stage(cli, &issue));
    status = become_run(cli, &owner, issue_grant, &issue, &answer);
    return hf_is_ok(status) ? issue_commit(cli, &issue) : as_told(cli, status);
}
