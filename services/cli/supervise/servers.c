/* PostgreSQL's access files, its bootstrap, Redis's configuration. What was applied to a database
 * stands in a file inside it: a database that is made anew has none. */
#include "cli/supervise/servers.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/supervise/spawn.h"
#include "codec/hash.h"
#include "queue/queue.h"

#define STAMP_NAME "holdfast_bootstrap"
#define LOG_NAME "bootstrap.log"
#define SMALL_FILE 4096
#define SQL_SECONDS 120

static const char hba[] = "# Written by `holdfast up`, again before each start.\n"
                          "local all all peer map=holdfast\n";
static const char create_sql[] = "CREATE DATABASE holdfast;\n\n";
static const char close_sql[] = "ALTER ROLE holdfast_super NOLOGIN;\n\n";

/* --- PostgreSQL ------------------------------------------------------------------------------ */

static char *ident_of(struct hf_arena *arena, const struct place *place)
{
    return hf_printf(arena,
                     "# Written by `holdfast up`, again before each start.\n"
                     "holdfast \"%s\" holdfast_app\n"
                     "holdfast \"%s\" holdfast_dispatch\n"
                     "holdfast \"%s\" holdfast_migrate\n",
                     place->user, place->user, place->user);
}

/* Single-user mode takes a statement up to a semicolon and an empty line. */
static char *bootstrap_of(struct hf_arena *arena)
{
    return hf_printf(arena, "%s;\n\n%s", auth_bootstrap_sql(), close_sql);
}

static char *digest_of(struct hf_arena *arena, const char *text)
{
    uint8_t digest[CODEC_SHA256_LEN];

    codec_sha256(text, strlen(text), digest);
    return hf_hex(arena, digest, sizeof(digest));
}

/* Of all that is applied. */
static char *stamp_of(struct hf_arena *arena, const struct place *place)
{
    return digest_of(arena, hf_printf(arena, "%s%s%s%s", hba, ident_of(arena, place), create_sql,
                                      bootstrap_of(arena)));
}

/* "" when there is none. */
static const char *read_small(struct hf_ctx *ctx, const char *path)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, SMALL_FILE);
    if (!hf_is_ok(hf_read_file(ctx->arena, path, &text))) {
        return "";
    }
    const char *all = hf_buf_text(&text);

    return hf_strndup(ctx->arena, all, strcspn(all, "\r\n"));
}

static char *stamp_path(struct hf_ctx *ctx, const struct place *place)
{
    return hf_path_join(ctx->arena, place->pg, STAMP_NAME);
}

bool servers_is_postgres_current(struct hf_ctx *ctx, const struct place *place)
{
    return hf_text_equal(read_small(ctx, stamp_path(ctx, place)), stamp_of(ctx->arena, place));
}

/* One run of `postgres --single`; the text is small enough for a pipe. */
static struct hf_status run_sql(struct hf_ctx *ctx, const struct place *place, const char *database,
                                bool is_strict, const char *sql)
{
    const char *const argv[] = {hf_path_join(ctx->arena, place->pg_bin, "postgres"),
                                "--single",
                                "-D",
                                place->pg,
                                "-j",
                                "-c",
                                is_strict ? "exit_on_error=on" : "exit_on_error=off",
                                database,
                                NULL};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "no pipe for %s", LOG_NAME);
    }
    HF_CLEANUP(hf_close) int input = ends[0];
    struct hf_status status = hf_write_all(ctx->arena, ends[1], sql, strlen(sql), "a pipe");

    close(ends[1]);
    HF_TRY(status);
    const struct spawn_job job = {
        .argv = argv, .log_name = LOG_NAME, .input = input, .seconds = SQL_SECONDS};

    return spawn_wait(ctx, place, &job);
}

static struct hf_status put(struct hf_ctx *ctx, const char *dir, const char *name, const char *text)
{
    return hf_replace_file(ctx->arena, hf_path_join(ctx->arena, dir, name), text, strlen(text),
                           0600);
}

struct hf_status servers_prepare_postgres(struct hf_ctx *ctx, const struct place *place)
{
    const char *stamp = stamp_of(ctx->arena, place);

    HF_TRY(put(ctx, place->pg, "pg_hba.conf", hba));
    HF_TRY(put(ctx, place->pg, "pg_ident.conf", ident_of(ctx->arena, place)));
    if (hf_text_equal(read_small(ctx, stamp_path(ctx, place)), stamp)) {
        return hf_success();
    }
    /* Whether the database is there already is not asked: it tells so in the log. */
    HF_TRY(run_sql(ctx, place, "postgres", false, create_sql));
    HF_TRY(run_sql(ctx, place, "holdfast", true, bootstrap_of(ctx->arena)));
    return put(ctx, place->pg, STAMP_NAME, stamp);
}

/* --- Redis ----------------------------------------------------------------------------------- */

struct hf_status servers_write_redis(struct hf_ctx *ctx, const struct place *place)
{
    struct hf_arena *arena = ctx->arena;
    const char *password = read_small(ctx, place->redis_pass);
    const char *text = hf_printf(
        arena,
        "# Written by `holdfast up`.\n"
        "port 0\nunixsocket \"%s\"\nunixsocketperm 700\ndir \"%s\"\npidfile \"%s/redis.pid\"\n"
        "save \"\"\nappendonly no\nmaxmemory 64mb\nmaxmemory-policy noeviction\n"
        "enable-protected-configs no\nenable-debug-command no\nenable-module-command no\n"
        "user default off\nuser " SERVERS_REDIS_USER " on #%s %s\n",
        place->redis_socket, place->run, place->run, digest_of(arena, password), queue_acl());

    if (hf_text_empty(password)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION, "%s has no password", place->redis_pass);
    }
    return put(ctx, place->dir, "redis.conf", text);
}

/* An earlier release's wrote no such file, and asks nobody for a password. */
bool servers_is_redis_current(struct hf_ctx *ctx, const struct place *place, pid_t pid)
{
    const char *path = hf_path_join(ctx->arena, place->run, "redis.pid");

    return hf_text_equal(read_small(ctx, path), hf_printf(ctx->arena, "%d", (int)pid));
}
