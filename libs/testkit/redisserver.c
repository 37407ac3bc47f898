/* A private Redis. It persists nothing, so that a kill is the worst loss there can be. */
#include "testkit/redisserver.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ctx.h"
#include "base/fd.h"
#include "testkit/run.h"

#define BIN "/usr/bin/redis-server"
#define WAIT_US (10 * HF_US_PER_S)

struct redisserver {
    struct hf_arena *arena;
    char *root;
    char *socket;
    pid_t pid; /* 0: not running */
};

bool redisserver_is_available(void)
{
    return access(BIN, X_OK) == 0;
}

static int dial(const struct redisserver *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    HF_CHECK(fd >= 0 && strlen(server->socket) < sizeof(address.sun_path));
    memcpy(address.sun_path, server->socket, strlen(server->socket) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void redisserver_start(struct redisserver *server)
{
    const struct testkit_user nobody = {.is_set = false};
    const char *const args[] = {BIN,
                                "--port",
                                "0",
                                "--unixsocket",
                                server->socket,
                                "--save",
                                "",
                                "--appendonly",
                                "no",
                                "--dir",
                                server->root,
                                "--logfile",
                                hf_path_join(server->arena, server->root, "log"),
                                NULL};
    int64_t until_us = hf_mono_us() + WAIT_US;
    int fd = -1;

    HF_CHECK(server->pid == 0);
    server->pid = testkit_spawn(args, &nobody, -1);
    while (fd < 0) {
        struct hf_ctx ctx = {.arena = server->arena};
        HF_CHECK(hf_mono_us() < until_us);
        HF_CHECK(hf_is_ok(hf_ctx_sleep(&ctx, 5)));
        fd = dial(server);
    }
    close(fd);
}

struct redisserver *redisserver_new(void)
{
    struct redisserver *server = hf_heap_alloc(sizeof(*server));
    char root[] = "/tmp/hf-redis-XXXXXX";

    server->arena = hf_arena_new((size_t)1024 * 1024);
    HF_CHECK(mkdtemp(root) != NULL);
    server->root = hf_strdup(server->arena, root);
    server->socket = hf_path_join(server->arena, root, "socket");
    redisserver_start(server);
    return server;
}

void redisserver_kill(struct redisserver *server)
{
    if (server->pid == 0) {
        return;
    }
    HF_CHECK(kill(server->pid, SIGKILL) == 0);
    (void)testkit_wait(server->pid);
    server->pid = 0;
}

void redisserver_free(struct redisserver *server)
{
    if (server == NULL) {
        return;
    }
    redisserver_kill(server);
    (void)hf_is_ok(hf_remove_tree(server->arena, server->root));
    hf_arena_free(server->arena);
    hf_heap_free(server);
}

/* The first byte of the answer to one command, and its second one. */
static void ask(struct redisserver *server, const char *command, char ret_answer[2])
{
    int fd = dial(server);
    char answer[256];

    HF_CHECK(fd >= 0);
    const char *line = hf_printf(server->arena, "%s\r\n", command);
    HF_CHECK(hf_is_ok(hf_write_all(server->arena, fd, line, strlen(line), "redis")));
    HF_CHECK(read(fd, answer, sizeof(answer)) > 1 && answer[0] != '-');
    memcpy(ret_answer, answer, 2);
    close(fd);
}

void redisserver_command(struct redisserver *server, const char *command)
{
    char answer[2];

    ask(server, command, answer);
}

bool redisserver_has(struct redisserver *server, const char *key)
{
    char answer[2];

    ask(server, hf_printf(server->arena, "EXISTS %s", key), answer);
    return answer[1] == '1';
}

const char *redisserver_address(const struct redisserver *server)
{
    return server->socket;
}
