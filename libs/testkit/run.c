/* Child processes for tests. Surprise: ports come from below 32768, because an ephemeral port that
 * is free now may be some client's a moment later. */
#include "testkit/run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/id.h"

#define OUTPUT_MAX (64 * 1024 * 1024)
#define PORT_FIRST 12000
#define PORT_COUNT 20000
#define ARGS_MAX 128

struct testkit_user testkit_user_find(const char *name)
{
    struct testkit_user user = {.is_set = false};
    struct passwd entry, *found = NULL;
    char text[4096];

    if (geteuid() != 0) {
        return user;
    }
    HF_CHECK(getpwnam_r(name, &entry, text, sizeof(text), &found) == 0 && found != NULL);
    user = (struct testkit_user){.is_set = true, .uid = entry.pw_uid, .gid = entry.pw_gid};
    HF_CHECK(strlen(name) < sizeof(user.name));
    memcpy(user.name, name, strlen(name) + 1);
    return user;
}

void testkit_chown_tree(const char *path, const struct testkit_user *user)
{
    const char *const argv[] = {"/bin/chown", "-hR", user->name, path, NULL};

    if (user->is_set) {
        HF_CHECK(lchown(path, user->uid, user->gid) == 0);
        HF_CHECK(testkit_run(argv, &(struct testkit_user){.is_set = false}, NULL) == 0);
    }
}

static _Noreturn void child_exec(const char *const argv[], const struct testkit_user *user, int out)
{
    char *args[ARGS_MAX];
    int input = open("/dev/null", O_RDONLY);
    size_t count = 0;
    sigset_t none;

    while (argv[count] != NULL && count + 1 < ARGS_MAX) {
        count++;
    }
    memcpy(args, argv, count * sizeof(args[0])); /* execv wants them without const */
    args[count] = NULL;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    dup2(input, 0);
    if (out >= 0) {
        dup2(out, 1);
        dup2(out, 2);
    }
    /* Only system calls: another thread may have held a lock of the allocator at the fork, which
     * initgroups would wait for. */
    if (user->is_set && (setgroups(1, &user->gid) != 0 || setgid(user->gid) != 0 ||
                         setuid(user->uid) != 0 || chdir("/tmp") != 0)) {
        _exit(126);
    }
    /* Behind setuid, which would forget it: a test that fails leaves nothing running. */
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    execv(args[0], args);
    _exit(127);
}

pid_t testkit_spawn(const char *const argv[], const struct testkit_user *user, int out)
{
    pid_t pid = fork();

    HF_CHECK(pid >= 0);
    if (pid == 0) {
        child_exec(argv, user, out);
    }
    return pid;
}

int testkit_wait(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        HF_CHECK(errno == EINTR);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int testkit_run(const char *const argv[], const struct testkit_user *user, char **ret_out)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    int ends[2];
    char piece[4096];
    ssize_t len;
    pid_t pid;
    int status;

    HF_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    hf_buf_init(&out, OUTPUT_MAX);
    pid = testkit_spawn(argv, user, ret_out != NULL ? ends[1] : -1);
    close(ends[1]);
    while ((len = read(ends[0], piece, sizeof(piece))) > 0) {
        hf_buf_append(&out, piece, (size_t)len);
    }
    close(ends[0]);
    status = testkit_wait(pid);
    if (ret_out != NULL) {
        *ret_out = hf_heap_strdup(hf_buf_text(&out));
    }
    return status;
}

int testkit_free_port(void)
{
    for (int i = 0; i < 1000; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint16_t random;
        int port, failed;

        HF_CHECK(fd >= 0);
        hf_random(&random, sizeof(random));
        port = PORT_FIRST + random % PORT_COUNT;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons((uint16_t)port);
        failed = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (failed == 0) {
            return port;
        }
    }
    HF_CHECK(0 && "no free port");
    return 0;
}
