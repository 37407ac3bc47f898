/* Private PostgreSQL servers for tests. Surprise: the postmaster is our own child, not pg_ctl's, so
 * that it is reaped at once; a killed server's zombie would keep its lock files valid. */
#include "testkit/pgserver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "testkit/run.h"

#define BIN "/usr/lib/postgresql/15/bin"
#define ARENA_MAX (64 * 1024 * 1024)
#define ARGS_MAX 64
#define CHILDREN_MAX 256
#define WAIT_US (60 * HF_US_PER_S)

struct pgserver {
    struct hf_arena *arena;
    struct testkit_user user;
    char *root;
    char *data;
    const char *bin; /* of initdb and postgres; the client programs are always those of BIN */
    char *dsn;
    char *output;                /* of the last pgserver_sql */
    const char *const *settings; /* given on the command line, copied; NULL: they are in the file */
    int port;
    pid_t pid; /* 0: not running */
};

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

bool pgserver_is_available(void)
{
    return access(BIN "/postgres", X_OK) == 0;
}

static const char *bin_path(const struct pgserver *server, const char *name)
{
    return strchr(name, '/') != NULL ? name : hf_printf(server->arena, "%s/%s", BIN, name);
}

int pgserver_run(const struct pgserver *server, const char *const argv[], char **ret_out)
{
    const char *args[ARGS_MAX] = {bin_path(server, argv[0])};

    for (size_t i = 1; argv[i] != NULL; i++) {
        HF_CHECK(i + 1 < ARGS_MAX);
        args[i] = argv[i];
    }
    return testkit_run(args, &server->user, ret_out);
}

/* The same; its output is shown when it fails, and the test ends. */
static void must_run(const struct pgserver *server, const char *const argv[])
{
    char *out = NULL;
    int status = pgserver_run(server, argv, &out);

    if (status != 0) {
        fprintf(stderr, "%s: exit status %d\n%s\n", argv[0], status, out);
    }
    HF_CHECK(status == 0);
    hf_heap_free(out);
}

static char *log_path(const struct pgserver *server)
{
    return hf_path_join(server->arena, server->root, "server.log");
}

static void file_append(const struct pgserver *server, const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    HF_CHECK(fd >= 0);
    HF_CHECK(hf_is_ok(hf_write_all(server->arena, fd, text, strlen(text), path)));
    close(fd);
}

static struct pgserver *server_make(void)
{
    struct pgserver *server = hf_heap_alloc(sizeof(*server));
    char root[] = "/tmp/hf-pg-XXXXXX";

    server->arena = hf_arena_new(ARENA_MAX);
    server->user = testkit_user_find("postgres");
    server->bin = BIN;
    HF_CHECK(mkdtemp(root) != NULL);
    HF_CHECK(chmod(root, 0755) == 0);
    server->root = hf_strdup(server->arena, root);
    server->data = hf_path_join(server->arena, root, "data");
    server->port = testkit_free_port();
    server->dsn = hf_printf(server->arena, "host=127.0.0.1 port=%d user=postgres dbname=postgres",
                            server->port);
    testkit_chown_tree(root, &server->user);
    return server;
}

static void settings_write(const struct pgserver *server, const char *const *settings)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};

    hf_buf_init(&out, 65536);
    hf_buf_printf(&out,
                  "\nport = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\n"
                  "fsync = off\nwal_level = replica\nmax_wal_senders = 10\n"
                  "max_replication_slots = 10\nshared_buffers = '16MB'\nhot_standby = on\n"
                  "wal_sender_timeout = '60s'\nlog_min_messages = warning\n",
                  server->port, server->root);
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i++) {
        hf_buf_printf(&out, "%s\n", settings[i]);
    }
    file_append(server, hf_path_join(server->arena, server->data, "postgresql.conf"),
                hf_buf_text(&out));
}

/* Line 8 of postmaster.pid says "ready" or, on a standby, "standby". */
static bool is_ready(const struct pgserver *server)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const char *path = hf_path_join(server->arena, server->data, "postmaster.pid");
    const char *line;

    hf_buf_init(&text, 8192);
    if (!hf_is_ok(hf_read_file(server->arena, path, &text))) {
        return false;
    }
    line = hf_buf_text(&text);
    for (int i = 0; i < 7 && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return line != NULL && (hf_has_prefix(line, "ready") || hf_has_prefix(line, "standby"));
}

static void log_show(const struct pgserver *server)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, ARENA_MAX);
    (void)hf_is_ok(hf_read_file(server->arena, log_path(server), &text));
    fprintf(stderr, "%s\n", hf_buf_text(&text));
}

void pgserver_start(struct pgserver *server)
{
    const char *args[ARGS_MAX] = {hf_path_join(server->arena, server->bin, "postgres"), "-D",
                                  server->data};
    int64_t until_us = hf_mono_us() + WAIT_US;
    size_t count = 3;
    int log = open(log_path(server), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    HF_CHECK(server->pid == 0 && log >= 0);
    for (size_t i = 0; server->settings != NULL && server->settings[i] != NULL; i++) {
        HF_CHECK(count + 3 < ARGS_MAX);
        args[count++] = "-c";
        args[count++] = server->settings[i];
    }
    server->pid = testkit_spawn(args, &server->user, log);
    close(log);
    while (!is_ready(server)) {
        bool is_gone = waitpid(server->pid, NULL, WNOHANG) == server->pid;

        if (is_gone || hf_mono_us() > until_us) {
            log_show(server);
        }
        HF_CHECK(!is_gone && hf_mono_us() <= until_us);
        pause_ms(10);
    }
}

struct pgserver *pgserver_new(const struct pgserver_options *options)
{
    static const struct pgserver_options defaults = {.settings = NULL};
    struct pgserver *server = server_make();
    char *password = hf_path_join(server->arena, server->root, "password");
    const char *args[ARGS_MAX] = {"initdb",      "-D",    server->data, "-U",
                                  "postgres",    "-k",    "--no-sync",  "--no-instructions",
                                  "-E",          "UTF8",  "--locale=C", "--auth-local=trust",
                                  "--auth-host", "trust", "--pwfile",   password};
    size_t count = 16;

    options = options != NULL ? options : &defaults;
    file_append(server, password, "secret\n");
    testkit_chown_tree(server->root, &server->user);
    server->bin = options->bin != NULL ? options->bin : BIN;
    args[0] = hf_path_join(server->arena, server->bin, "initdb");
    args[13] = options->needs_password ? "scram-sha-256" : "trust";
    for (size_t i = 0; options->initdb != NULL && options->initdb[i] != NULL; i++) {
        HF_CHECK(count + 1 < ARGS_MAX);
        args[count++] = options->initdb[i];
    }
    must_run(server, args);
    settings_write(server, options->settings);
    pgserver_start(server);
    return server;
}

/* "name = value" for the command line: "name=value". */
static const char *setting_pack(struct hf_arena *arena, const char *setting)
{
    const char *equals = strchr(setting, '=');
    size_t name_len;

    HF_CHECK(equals != NULL);
    name_len = (size_t)(equals - setting);
    while (name_len > 0 && setting[name_len - 1] == ' ') {
        name_len--;
    }
    equals += strspn(equals, "= ");
    return hf_printf(arena, "%.*s=%s", (int)name_len, setting, equals);
}

struct pgserver *pgserver_open(const char *data_directory, const char *const *settings)
{
    struct pgserver *server = server_make();
    const char **args = HF_NEW_N(server->arena, const char *, ARGS_MAX);
    size_t count = 0;

    server->data = hf_strdup(server->arena, data_directory);
    testkit_chown_tree(server->data, &server->user);
    args[count++] = hf_printf(server->arena, "port=%d", server->port);
    args[count++] = "listen_addresses=127.0.0.1";
    args[count++] = hf_printf(server->arena, "unix_socket_directories=%s", server->root);
    args[count++] = "shared_buffers=16MB";
    args[count++] = "fsync=off";
    for (size_t i = 0; settings != NULL && settings[i] != NULL; i++) {
        HF_CHECK(count + 8 < ARGS_MAX);
        args[count++] = setting_pack(server->arena, settings[i]);
    }
    server->settings = args;
    pgserver_start(server);
    return server;
}

struct pgserver *pgserver_standby(struct pgserver *primary)
{
    struct pgserver *server = server_make();
    const char *const args[] = {"pg_basebackup",
                                "-D",
                                server->data,
                                "-R",
                                "-X",
                                "stream",
                                "-c",
                                "fast",
                                "-h",
                                primary->root,
                                "-p",
                                hf_printf(server->arena, "%d", primary->port),
                                "-U",
                                "postgres",
                                "--no-sync",
                                NULL};

    must_run(server, args);
    settings_write(server, NULL);
    pgserver_start(server);
    return server;
}

void pgserver_stop(struct pgserver *server)
{
    if (server->pid != 0) {
        HF_CHECK(kill(server->pid, SIGINT) == 0);
        (void)testkit_wait(server->pid);
        server->pid = 0;
    }
}

/* Pids of the postmaster's children, from the kernel. */
static size_t children_list(pid_t pid, pid_t *ret_pids)
{
    char path[64];
    char text[4096] = "";
    char *p = text;
    size_t count = 0;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    while (count < CHILDREN_MAX) {
        char *end = p;
        long child = strtol(p, &end, 10);

        if (end == p || child <= 0) {
            return count;
        }
        ret_pids[count++] = (pid_t)child;
        p = end;
    }
    return count;
}

void pgserver_crash(struct pgserver *server)
{
    pid_t children[CHILDREN_MAX];
    size_t count;

    HF_CHECK(server->pid != 0);
    count = children_list(server->pid, children);
    (void)kill(server->pid, SIGKILL);
    for (size_t i = 0; i < count; i++) {
        (void)kill(children[i], SIGKILL);
    }
    (void)testkit_wait(server->pid);
    server->pid = 0;
    for (size_t i = 0; i < count; i++) {
        for (int tries = 0; tries < 500 && kill(children[i], 0) == 0; tries++) {
            pause_ms(10);
        }
    }
}

void pgserver_free(struct pgserver *server)
{
    if (server == NULL) {
        return;
    }
    if (server->pid != 0) {
        pgserver_crash(server); /* nothing of it is kept, so why wait */
    }
    (void)hf_is_ok(hf_remove_tree(server->arena, server->root));
    hf_heap_free(server->output);
    hf_arena_free(server->arena);
    hf_heap_free(server);
}

void pgserver_promote(struct pgserver *server)
{
    (void)pgserver_sql(server, "select pg_promote(true, 60)");
}

const char *pgserver_data(const struct pgserver *server)
{
    return server->data;
}

const char *pgserver_root(const struct pgserver *server)
{
    return server->root;
}

const char *pgserver_socket(const struct pgserver *server)
{
    return server->root;
}

int pgserver_port(const struct pgserver *server)
{
    return server->port;
}

int64_t pgserver_pid(const struct pgserver *server)
{
    return server->pid;
}

const char *pgserver_dsn(const struct pgserver *server)
{
    return server->dsn;
}

const char *pgserver_sql(struct pgserver *server, const char *format, ...)
{
    char port[16];
    char *sql;
    size_t len;
    int status;
    va_list list;

    va_start(list, format);
    sql = hf_vprintf(server->arena, format, list);
    va_end(list);
    snprintf(port, sizeof(port), "%d", server->port);
    {
        const char *const args[] = {"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", server->root,
                                    "-p",   port,    "-U", "postgres",        "-d", "postgres",
                                    "-c",   sql,     NULL};

        hf_heap_free(HF_TAKE(server->output));
        status = pgserver_run(server, args, &server->output);
    }
    if (status != 0) {
        fprintf(stderr, "%s\n%s\n", sql, server->output);
    }
    HF_CHECK(status == 0 && server->output != NULL);
    len = strlen(server->output);
    if (len > 0 && server->output[len - 1] == '\n') {
        server->output[len - 1] = '\0';
    }
    return server->output;
}
