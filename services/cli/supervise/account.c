/* getpwnam_r and useradd. The environment of whoever calls is none of useradd's business. */
#include "cli/supervise/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

#define SERVERS_NAME "postgres"
#define PASSWD_TEXT 16384
#define USERADD "/usr/sbin/useradd"
#define HOW_TO_MAKE                                                                                \
    "`useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "             \
    "/usr/sbin/nologin " ACCOUNT_NAME "`"

/* The answers that mean "no such user" (getpwnam(3)); others mean that nobody could be asked. */
static bool is_no_user(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

/* Another name for the number of postgres is postgres. */
static bool is_postgres(struct hf_arena *arena, const char *name, uid_t uid)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    return hf_text_equal(name, SERVERS_NAME) ||
           (getpwnam_r(SERVERS_NAME, &entry, text, PASSWD_TEXT, &found) == 0 && found != NULL &&
            found->pw_uid == uid);
}

static struct account account_from(struct hf_arena *arena, const struct passwd *entry)
{
    return (struct account){.name = hf_strdup(arena, entry->pw_name),
                            .uid = entry->pw_uid,
                            .gid = entry->pw_gid,
                            .is_known = true,
                            .is_postgres = is_postgres(arena, entry->pw_name, entry->pw_uid)};
}

static struct hf_status not_asked(struct hf_arena *arena, const char *name, int error)
{
    return hf_fail(arena, HF_UNAVAILABLE, "looking up user %s: %s", name,
                   hf_fail_errno(arena, error, "the users of this machine").message);
}

struct hf_status account_find(struct hf_arena *arena, const char *name, struct account *ret_account)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);
    int error = getpwnam_r(name, &entry, text, PASSWD_TEXT, &found);

    if (found == NULL && !is_no_user(error)) {
        return not_asked(arena, name, error);
    }
    if (found == NULL) {
        return hf_fail(arena, HF_NOT_FOUND, "there is no user %s on this machine", name);
    }
    *ret_account = account_from(arena, found);
    return hf_success();
}

struct hf_status account_of(struct hf_arena *arena, uid_t uid, gid_t gid,
                            struct account *ret_account)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);
    int error = getpwuid_r(uid, &entry, text, PASSWD_TEXT, &found);

    if (found == NULL && !is_no_user(error)) {
        return not_asked(arena, hf_printf(arena, "%u", (unsigned)uid), error);
    }
    *ret_account = found != NULL
                       ? account_from(arena, found)
                       : (struct account){.name = hf_printf(arena, "user %u", (unsigned)uid),
                                          .uid = uid,
                                          .gid = gid};
    return hf_success();
}

static bool is_id(const char *text, uint32_t *ret_id)
{
    uint64_t number = 0;

    if (!hf_parse_u64(text, &number) || number >= UINT32_MAX) { /* -1 changes nothing */
        return false;
    }
    *ret_id = (uint32_t)number;
    return true;
}

static struct hf_status find_group(struct hf_arena *arena, const char *name, gid_t *ret_gid)
{
    struct group entry;
    struct group *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    if (getgrnam_r(name, &entry, text, PASSWD_TEXT, &found) == 0 && found != NULL) {
        *ret_gid = found->gr_gid;
        return hf_success();
    }
    return is_id(name, ret_gid)
               ? hf_success()
               : hf_fail(arena, HF_NOT_FOUND, "there is no group %s on this machine", name);
}

struct hf_status account_parse(struct hf_arena *arena, const char *text,
                               struct account *ret_account)
{
    const char *colon = strchr(text, ':');
    const char *name = hf_strndup(arena, text, strcspn(text, ":"));
    struct account account = {.name = NULL};
    uint32_t uid = 0;

    if (*name == '\0') {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "'%s' names no user: say USER or USER:GROUP",
                       text);
    }
    struct hf_status status = account_find(arena, name, &account);

    if (status.code == HF_NOT_FOUND && is_id(name, &uid)) {
        status = account_of(arena, uid, 0, &account);
    }
    HF_TRY(status);
    if (colon != NULL && colon[1] != '\0') { /* with nothing behind it: the user's own */
        HF_TRY(find_group(arena, colon + 1, &account.gid));
    } else if (!account.is_known) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "nobody on this machine is user %s, so that its group is not known: say it, "
                       "too, as in %s:%s",
                       name, name, name);
    }
    *ret_account = account;
    return hf_success();
}

const char *account_objection(const struct account *account)
{
    if (account->uid == 0) {
        return "servers never run as root";
    }
    if (account->is_postgres) {
        return "whoever owns the protected server must not own the vault and its keys";
    }
    return account->is_known ? NULL : "this machine has no such user";
}

static bool group_exists(struct hf_arena *arena)
{
    struct group entry;
    struct group *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    return getgrnam_r(ACCOUNT_NAME, &entry, text, PASSWD_TEXT, &found) == 0 && found != NULL;
}

/* has_group: it was made before the user, which useradd takes for a mistake. */
static _Noreturn void exec_useradd(bool has_group)
{
    static const char *const with_new[] = {
        USERADD,        "--system", "--user-group",      "--no-create-home", "--home-dir",
        "/nonexistent", "--shell",  "/usr/sbin/nologin", ACCOUNT_NAME,       NULL};
    static const char *const with_old[] = {
        USERADD,      "--system",     "--gid",   ACCOUNT_NAME,        "--no-create-home",
        "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME,
        NULL};
    static const char *const variables[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                            NULL};
    union {
        const char *const *in;
        char *const *out;
    } argv = {has_group ? with_old : with_new}, environment = {variables};

    close_range(3, ~0U, 0);
    if (chdir("/") == 0) {
        execve(USERADD, argv.out, environment.out);
    }
    _exit(127);
}

static struct hf_status run_useradd(struct hf_ctx *ctx)
{
    bool has_group = group_exists(ctx->arena);
    int status = 0;
    pid_t pid = access(USERADD, X_OK) == 0 ? fork() : -1;

    if (pid == 0) {
        exec_useradd(has_group);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? hf_success()
               : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "NO_USER", NULL,
                              "the servers need a user of their own, and it could not be made; "
                              "make it with " HOW_TO_MAKE " or name another with --user");
}

struct hf_status account_ensure(struct hf_ctx *ctx, struct account *ret_account)
{
    struct hf_status status = account_find(ctx->arena, ACCOUNT_NAME, ret_account);

    if (status.code != HF_NOT_FOUND) {
        return status;
    }
    struct hf_status made = run_useradd(ctx);

    /* Two at once: one of them finds it there. */
    return hf_is_ok(account_find(ctx->arena, ACCOUNT_NAME, ret_account)) ? hf_success() : made;
}
