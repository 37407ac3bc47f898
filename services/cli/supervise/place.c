/* Paths. The surprise: root's home is 0700, so a directory below it cannot be entered by the user
 * that PostgreSQL must run as; that is refused before anything is made. */
#include "cli/supervise/place.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"

/* Major version that made the private database, 0 before there is one. */
static uint64_t made_by(struct hf_arena *arena, const char *pg)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    uint64_t major = 0;

    hf_buf_init(&text, 64);
    if (!hf_is_ok(hf_read_file(arena, hf_path_join(arena, pg, "PG_VERSION"), &text))) {
        return 0;
    }
    const char *all = hf_buf_text(&text);

    return hf_parse_u64(hf_strndup(arena, all, strcspn(all, "\n")), &major) ? major : 0;
}

static const char *own_directory(struct hf_arena *arena)
{
    char *path = hf_alloc(arena, 4097);
    ssize_t len = readlink("/proc/self/exe", path, 4096);

    if (len <= 0) {
        return "/usr/local/bin";
    }
    return hf_path_parent(arena, path);
}

int place_hold_service(struct hf_arena *arena)
{
    int fd = open(hf_path_join(arena, own_directory(arena), PLACE_SERVICE), O_PATH | O_CLOEXEC);

    return fd < 0 ? 0 : fd;
}

struct hf_status place_of(struct hf_ctx *ctx, const char *dir, struct place *ret_place)
{
    struct hf_arena *arena = ctx->arena;
    struct account self;

    HF_TRY(account_of(arena, geteuid(), getegid(), &self));
    *ret_place = (struct place){
        .dir = dir,
        .run = hf_path_join(arena, dir, "run"),
        .log = hf_path_join(arena, dir, "log"),
        .pg = hf_path_join(arena, dir, "pg"),
        .redis_socket = hf_path_join(arena, dir, "run/redis.sock"),
        .redis_pass = hf_path_join(arena, dir, "keys/redis.pass"),
        .pki = hf_path_join(arena, dir, "pki"),
        .keys = hf_path_join(arena, dir, "keys"),
        .bin = own_directory(arena),
        .user = self.name,
    };
    return hf_success();
}

/* /usr/lib/postgresql/N/bin of the version that made the database, else the newest. */
struct hf_status place_find_postgres(struct hf_ctx *ctx, struct place *place)
{
    struct hf_arena *arena = ctx->arena;
    uint64_t made = made_by(arena, place->pg);
    uint64_t first = made == 0 ? 14 : made;
    uint64_t last = made == 0 ? 18 : made;

    for (uint64_t major = first; major <= last; major++) {
        const char *bin =
            hf_printf(arena, "/usr/lib/postgresql/%llu/bin", (unsigned long long)major);

        if (access(hf_path_join(arena, bin, "initdb"), X_OK) == 0) {
            place->pg_bin = bin;
        }
    }
    if (place->pg_bin != NULL) {
        return hf_success();
    }
    if (made != 0) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NO_POSTGRESQL", NULL,
                            "the state database in %s was made by PostgreSQL %llu, which is not "
                            "below /usr/lib/postgresql; install it with `apt-get install "
                            "postgresql-%llu`",
                            place->pg, (unsigned long long)made, (unsigned long long)made);
    }
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NO_POSTGRESQL", NULL,
                        "no PostgreSQL 14 to 18 below /usr/lib/postgresql; install it with "
                        "`apt-get install postgresql`");
}

/* The path goes into socket addresses, connection strings and YAML. */
struct hf_status place_check_path(struct hf_ctx *ctx, const char *dir)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t longest = sizeof(address.sun_path) - sizeof("/run/.s.PGSQL.5432");

    for (const char *at = dir; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || strchr("\"'\\,", *at) != NULL) {
            return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "DIRECTORY_NAME", NULL,
                                "the path of an installation cannot hold quotes, backslashes, "
                                "commas or control characters; choose another --dir");
        }
    }
    if (strlen(dir) > longest) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "DIRECTORY_NAME", NULL,
                            "%s is too long: sockets are below it and their addresses are short; "
                            "choose a --dir of at most %zu bytes",
                            dir, longest);
    }
    return hf_success();
}

static bool may_enter(const struct stat *found, const struct account *account)
{
    if (found->st_uid == account->uid) {
        return (found->st_mode & S_IXUSR) != 0;
    }
    if (found->st_gid == account->gid) {
        return (found->st_mode & S_IXGRP) != 0;
    }
    return (found->st_mode & S_IXOTH) != 0;
}

struct hf_status place_check_reach(struct hf_ctx *ctx, const char *dir,
                                   const struct account *account)
{
    struct stat found;

    for (const char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *parent = hf_strndup(ctx->arena, dir, (size_t)(slash - dir));

        if (stat(parent, &found) == 0 && !may_enter(&found, account)) {
            const char *const metadata[] = {"directory", parent, "user", account->name, NULL};

            return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "DIRECTORY_CLOSED", metadata,
                                "user %s, who runs the servers, cannot enter %s; choose another "
                                "--dir or another --user",
                                account->name, parent);
        }
    }
    return hf_success();
}

char *place_conninfo(struct hf_arena *arena, const struct place *place, const char *role,
                     const char *database)
{
    return hf_printf(arena, "host='%s' port=%s user=%s dbname=%s", place->run, PLACE_PG_PORT, role,
                     database);
}
