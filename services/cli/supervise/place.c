/* Paths and the servers' user. The surprise: root's home is 0700, so a directory below it cannot be
 * entered by the user that PostgreSQL must run as; that is refused before anything is made. */
#include "cli/supervise/place.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define PASSWD_TEXT 16384

static bool find_user(struct hf_arena *arena, const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    if (getpwnam_r(name, &entry, text, PASSWD_TEXT, &found) != 0 || found == NULL) {
        return false;
    }
    *ret_uid = entry.pw_uid;
    *ret_gid = entry.pw_gid;
    return true;
}

const char *place_default_user(struct hf_arena *arena)
{
    uid_t uid = 0;
    gid_t gid = 0;

    if (geteuid() != 0) {
        return "";
    }
    return find_user(arena, "holdfast", &uid, &gid) ? "holdfast" : "postgres";
}

/* Newest /usr/lib/postgresql/N/bin that has initdb. */
static const char *find_postgres(struct hf_arena *arena)
{
    const char *best = NULL;

    for (unsigned major = 14; major <= 18; major++) {
        const char *bin = hf_printf(arena, "/usr/lib/postgresql/%u/bin", major);

        if (access(hf_path_join(arena, bin, "initdb"), X_OK) == 0) {
            best = bin;
        }
    }
    return best;
}

static const char *own_directory(struct hf_arena *arena)
{
    char *path = hf_alloc(arena, 4097);
    ssize_t len = readlink("/proc/self/exe", path, 4096);

    if (len <= 0) {
        return "/usr/local/bin";
    }
    char *slash = strrchr(path, '/');

    return slash == NULL || slash == path ? "/" : hf_strndup(arena, path, (size_t)(slash - path));
}

struct hf_status place_of(struct hf_ctx *ctx, const char *dir, const char *user,
                          struct place *ret_place)
{
    struct hf_arena *arena = ctx->arena;
    struct place place = {
        .dir = dir,
        .run = hf_path_join(arena, dir, "run"),
        .log = hf_path_join(arena, dir, "log"),
        .pg = hf_path_join(arena, dir, "pg"),
        .redis_socket = hf_path_join(arena, dir, "run/redis.sock"),
        .pki = hf_path_join(arena, dir, "pki"),
        .keys = hf_path_join(arena, dir, "keys"),
        .bin = own_directory(arena),
        .pg_bin = find_postgres(arena),
        .user = user,
        .uid = geteuid(),
        .gid = getegid(),
        .is_root = geteuid() == 0,
    };

    if (place.is_root && !hf_text_empty(user) && !find_user(arena, user, &place.uid, &place.gid)) {
        return hf_fail(arena, HF_NOT_FOUND, "there is no user %s on this machine", user);
    }
    if (place.pg_bin == NULL) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NO_POSTGRESQL", NULL,
                            "no PostgreSQL 14 to 18 below /usr/lib/postgresql; install it with "
                            "`apt-get install postgresql`");
    }
    *ret_place = place;
    return hf_success();
}

static bool may_enter(const struct stat *found, const struct place *place)
{
    if (found->st_uid == place->uid) {
        return (found->st_mode & S_IXUSR) != 0;
    }
    if (found->st_gid == place->gid) {
        return (found->st_mode & S_IXGRP) != 0;
    }
    return (found->st_mode & S_IXOTH) != 0;
}

struct hf_status place_check_reach(struct hf_ctx *ctx, const struct place *place)
{
    struct stat found;

    if (!place->is_root) {
        return hf_success();
    }
    for (const char *slash = strchr(place->dir + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        const char *parent = hf_strndup(ctx->arena, place->dir, (size_t)(slash - place->dir));

        if (stat(parent, &found) == 0 && !may_enter(&found, place)) {
            const char *const metadata[] = {"directory", parent, "user", place->user, NULL};

            return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "DIRECTORY_CLOSED", metadata,
                                "user %s, who runs the servers, cannot enter %s; choose another "
                                "--dir or another --user",
                                place->user, parent);
        }
    }
    return hf_success();
}

struct hf_status place_own(struct hf_ctx *ctx, const struct place *place, const char *path)
{
    if (place->is_root && lchown(path, place->uid, place->gid) != 0) {
        return hf_fail_errno(ctx->arena, errno, "giving %s to %s", path, place->user);
    }
    return hf_success();
}

char *place_conninfo(struct hf_arena *arena, const struct place *place, const char *role,
                     const char *database)
{
    return hf_printf(arena, "host=%s user=%s dbname=%s", place->run, role, database);
}
