/* up: make what is missing, start a supervisor when there is none, wait until the service answers.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/processes.h"
#include "cli/supervise/began.h"
#include "cli/supervise/kit.h"
#include "cli/supervise/logs.h"
#include "cli/supervise/operators.h"
#include "cli/supervise/overrides.h"
#include "cli/supervise/place.h"
#include "cli/supervise/spawn.h"
#include "cli/supervise/supervisor.h"

#define READY_SECONDS 60
#define ASK_SECONDS 3
#define ERROR_BEGINS "error: " /* as out_error writes it */
#define LINE_MAX_BYTES ((size_t)64 << 10)

/* Without root the servers are ours; root has become their owner before it comes here. */
static struct hf_status check_self(struct cli *cli, const struct place *place)
{
    struct account self;
    const char *wanted = cli_option(cli, "user");

    HF_TRY(account_of(cli->ctx.arena, geteuid(), getegid(), &self));
    const char *objection = account_objection(&self);

    if (objection != NULL) {
        return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "SERVERS_USER", NULL,
                            "the servers cannot run as %s: %s; run it as another user, or as root",
                            self.name, objection);
    }
    return wanted == NULL || hf_text_equal(wanted, place->user)
               ? hf_success()
               : cli_usage(cli, "--user is for root: %s cannot run servers as %s", place->user,
                           wanted);
}

static bool can_run(const char *path, int held)
{
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ||
           (held > 0 && faccessat(held, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) == 0);
}

/* Programs that root built for himself alone (umask 077) would be waited for in vain. */
static struct hf_status check_programs(struct cli *cli, const struct place *place)
{
    static const char self[] = "/proc/self/exe";
    struct hf_arena *arena = cli->ctx.arena;
    const char *service = hf_path_join(arena, place->bin, PLACE_SERVICE);
    const char *closed = !can_run(self, 0) ? hf_path_join(arena, place->bin, "holdfast")
                         : !can_run(service, place->service) ? service
                                                             : NULL;

    return closed == NULL
               ? hf_success()
               : hf_fail_info(arena, HF_FAILED_PRECONDITION, "PROGRAM_CLOSED", NULL,
                              "%s is not to be run by user %s: chmod a+rx %s, on a file system "
                              "that is not mounted noexec",
                              closed, place->user, out_word(arena, closed));
}

static struct hf_status take_port(struct cli *cli, int64_t *ret_port)
{
    const char *text = cli_option(cli, "port");

    *ret_port = 0;
    if (text != NULL && (!hf_parse_i64(text, ret_port) || *ret_port < 1024 || *ret_port > 32766)) {
        return cli_usage(cli, "--port must be 1024 to 32766, not %s", text);
    }
    return hf_success();
}

/* A port that differs from the one in use would be ignored without a word. */
static struct hf_status check_port(struct cli *cli, const struct place *place, int64_t port)
{
    const char *own = strrchr(place->settings.endpoint, ':');

    if (port == 0 || own == NULL ||
        hf_text_equal(own + 1, hf_printf(cli->ctx.arena, "%lld", (long long)port))) {
        return hf_success();
    }
    return hf_fail_info(cli->ctx.arena, HF_FAILED_PRECONDITION, "FIRST_UP_ONLY", NULL,
                        "%s answers at %s since the first up; --port cannot change that", cli->dir,
                        place->settings.endpoint);
}

/* By a process of its own: gRPC keeps threads, and what they lock at that moment would stay locked
 * in a supervisor that is forked beside them. */
static struct hf_status ask(struct cli *cli, const struct place *place)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const char *const argv[] = {"/proc/self/exe", "cluster", "list", "--limit", "1",
                                "--dir",          cli->dir,  NULL};
    int code = 0;

    hf_buf_init(&text, LINE_MAX_BYTES);
    HF_TRY(spawn_ask(&cli->ctx, place, argv, ASK_SECONDS, &text, &code));
    const char *error = strstr(hf_buf_text(&text), ERROR_BEGINS);

    if (code == 0) {
        return hf_success();
    }
    error = error == NULL ? "the service does not answer" : error + strlen(ERROR_BEGINS);
    return hf_fail(cli->ctx.arena, HF_UNAVAILABLE, "%s",
                   hf_strndup(cli->ctx.arena, error, strcspn(error, "\n")));
}

/* The service answers without Redis, too; up is done when everything runs. */
static struct hf_status check_processes(struct cli *cli, const char **ret_log)
{
    static const char *const names[] = {"supervisor", "postgres", "redis", "backup"};
    const struct process_entry *entries = NULL;
    size_t len = 0;

    HF_TRY(processes_load(&cli->ctx, cli->dir, &entries, &len));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool is_alive = false;

        for (size_t k = 0; k < len; k++) {
            is_alive =
                is_alive || (hf_text_equal(entries[k].name, names[i]) && entries[k].is_alive);
        }
        *ret_log = hf_printf(cli->ctx.arena, "%s/log/%s.log", cli->dir, names[i]);
        if (!is_alive) {
            return hf_fail(cli->ctx.arena, HF_UNAVAILABLE, "%s does not run yet", names[i]);
        }
    }
    return hf_success();
}

/* The reason why a process does not run is what it said last. */
static const char *last_line(struct cli *cli, const char *path)
{
    char *all = hf_strdup(cli->ctx.arena, logs_tail(cli->ctx.arena, path, LINE_MAX_BYTES));

    for (size_t len = strlen(all); len > 0 && all[len - 1] == '\n'; len--) {
        all[len - 1] = '\0';
    }
    const char *newline = strrchr(all, '\n');

    return *all == '\0' ? "nothing" : newline == NULL ? all : newline + 1;
}

/* A supervisor that holds the lock may be one that stops: when it is gone, the next is started. */
static struct hf_status keep_supervisor(struct cli *cli, const struct place *place,
                                        int64_t *next_us)
{
    if (supervisor_find(&cli->ctx, place).is_held || hf_mono_us() < *next_us) {
        return hf_success();
    }
    *next_us = hf_mono_us() + HF_US_PER_S;
    return supervisor_start(&cli->ctx, place);
}

static struct hf_status wait_ready(struct cli *cli, const struct place *place)
{
    int64_t end_us = hf_mono_us() + READY_SECONDS * HF_US_PER_S;
    int64_t next_us = 0;

    for (;;) {
        const char *log = "";

        HF_TRY(keep_supervisor(cli, place, &next_us));
        struct hf_status status = check_processes(cli, &log);

        if (hf_is_ok(status)) {
            status = ask(cli, place);
        }
        if (hf_is_ok(status)) {
            return status;
        }
        if (hf_mono_us() > end_us) {
            return hf_fail(cli->ctx.arena, status.code,
                           "not everything runs after %d s: %s; the last line of %s: %s",
                           READY_SECONDS, status.message, log, last_line(cli, log));
        }
        HF_TRY(hf_ctx_sleep(&cli->ctx, 100));
    }
}

/* What runs is left alone, and does not know what is newer; where it listens may be among it. */
static struct hf_status tell_newer(struct cli *cli, const struct place *place)
{
    const struct process_entry *entries = NULL;
    size_t len = 0;

    HF_TRY(processes_load(&cli->ctx, cli->dir, &entries, &len));
    for (size_t i = 0; i < len; i++) {
        const char *newer = entries[i].is_alive ? began_newer(&cli->ctx, place, &entries[i]) : NULL;

        if (newer != NULL) {
            fprintf(stderr,
                    "%s runs already, and began with %s; `holdfast down%s` and `holdfast "
                    "up%s` start it anew\n",
                    entries[i].name, newer, out_where(cli), out_where(cli));
        }
    }
    return hf_success();
}

static struct hf_status print(struct cli *cli, const struct place *place, bool is_new)
{
    const struct process_entry *entries = NULL;
    struct dir_settings settings;
    size_t len = 0;

    if (cli->output == CLI_JSON || cli->output == CLI_YAML) {
        return cmd_info(cli);
    }
    HF_TRY(processes_load(&cli->ctx, cli->dir, &entries, &len));
    HF_TRY(dir_load_own(&cli->ctx, cli->dir, &settings));
    printf("holdfast runs in %s\n", cli->dir);
    for (size_t i = 0; i < len; i++) {
        printf("  %-12s pid %lld\n", entries[i].name, (long long)entries[i].pid);
    }
    printf("  backup API   %s (mTLS; certificates: holdfast certs issue NAME --out OUT%s)\n",
           settings.endpoint, out_where(cli));
    /* One that took the place of a lost key is where it came from. */
    if (is_new && hf_path_exists(hf_path_join(cli->ctx.arena, cli->dir, KIT_FILE))) {
        printf("\nThe recovery kit is in %s/" KIT_FILE ", the vault's key in %s/vault.key.\n"
               "Copy both to another place now and take the kit off this machine: without one of\n"
               "them no backup can be read.\n",
               cli->dir, place->keys);
    }
    return hf_success();
}

struct hf_status cmd_up_check(struct cli *cli)
{
    int64_t port = 0;

    return take_port(cli, &port);
}

struct hf_status cmd_up(struct cli *cli)
{
    struct place place;
    int64_t port = 0;
    bool is_new = false;

    HF_TRY(take_port(cli, &port));
    HF_TRY(place_of(&cli->ctx, cli->dir, &place));
    place.service = cli->service;
    HF_TRY(check_self(cli, &place));
    HF_TRY(check_programs(cli, &place));
    HF_TRY(place_find_postgres(&cli->ctx, &place));
    HF_TRY(overrides_check(&cli->ctx, &place));
    HF_TRY(setup_run(&cli->ctx, &place, port, &is_new));
    HF_TRY(check_port(cli, &place, port));
    if (cli_flag(cli, "foreground")) {
        hf_log_setup(HF_LOG_INFO, "holdfast-supervisor");
        return supervisor_run(&cli->ctx, &place, -1);
    }
    HF_TRY(tell_newer(cli, &place));
    HF_TRY(wait_ready(cli, &place));
    HF_TRY(operators_keep_local(&cli->ctx, &place));
    return print(cli, &place, is_new);
}
