/* Each forbidden thing is tried by a process of its own that was confined, and by one that was not:
 * an attempt that fails anyway proves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/pool.h"
#include "svc/confine.h"
#include "tests/unit/unit.h"

#define PATH_ROOM 256
#define CODE_ARENA_BYTES ((size_t)1 << 20)
#define NOT_CONFINED 250

/* in: what the process may use; out: what it may not. Both have file, dir/file. */
static struct {
    char root[PATH_ROOM];
    char in[PATH_ROOM];
    char out[PATH_ROOM];
} place;

static const char *in(struct hf_arena *arena, const char *name)
{
    return hf_path_join(arena, place.in, name);
}

static const char *out(struct hf_arena *arena, const char *name)
{
    return hf_path_join(arena, place.out, name);
}

static int error_of(long result)
{
    return result < 0 ? errno : 0;
}

static int open_and_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0) {
        return errno;
    }
    close(fd);
    return 0;
}

/* --- attempts: 0 when it worked ------------------------------------------------------------- */

static int read_outside(struct hf_arena *arena)
{
    return open_and_close(out(arena, "file"), O_RDONLY);
}

static int list_outside(struct hf_arena *arena)
{
    (void)arena;
    return open_and_close(place.out, O_RDONLY | O_DIRECTORY);
}

static int write_outside(struct hf_arena *arena)
{
    return open_and_close(out(arena, "file"), O_WRONLY);
}

static int create_outside(struct hf_arena *arena)
{
    return open_and_close(out(arena, "new"), O_WRONLY | O_CREAT);
}

static int read_by_link(struct hf_arena *arena)
{
    return open_and_close(in(arena, "link"), O_RDONLY);
}

static int read_by_dots(struct hf_arena *arena)
{
    return open_and_close(in(arena, "../out/file"), O_RDONLY);
}

static int create_by_dir_link(struct hf_arena *arena)
{
    return open_and_close(in(arena, "dirlink/new"), O_WRONLY | O_CREAT);
}

static int rename_out(struct hf_arena *arena)
{
    return error_of(rename(in(arena, "file"), out(arena, "moved")));
}

static int hard_link_in(struct hf_arena *arena)
{
    return error_of(link(out(arena, "file"), in(arena, "hard")));
}

static int remove_outside(struct hf_arena *arena)
{
    return error_of(unlink(out(arena, "file")));
}

static int truncate_outside(struct hf_arena *arena)
{
    return error_of(truncate(out(arena, "file"), 0));
}

static int make_device_inside(struct hf_arena *arena)
{
    return error_of(mknod(in(arena, "device"), S_IFCHR | 0600, (1 << 8) | 3));
}

static int start_program(struct hf_arena *arena)
{
    char name[] = "true";
    char *const argv[] = {name, NULL};

    (void)arena;
    if (fcntl(STDIN_FILENO, F_GETFD) < 0) {
        return errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        execv("/bin/true", argv);
        _exit(errno);
    }
    int status = 0;
    HF_CHECK(waitpid(pid, &status, 0) == pid);
    return WEXITSTATUS(status);
}

static int trace_parent(struct hf_arena *arena)
{
    pid_t parent = getppid();

    (void)arena;
    if (ptrace(PTRACE_SEIZE, parent, NULL, NULL) != 0) {
        return errno;
    }
    return 0; /* a tracer that ends detaches */
}

static int signal_parent(struct hf_arena *arena)
{
    (void)arena;
    return error_of(kill(getppid(), 0));
}

static int new_namespace(struct hf_arena *arena)
{
    (void)arena;
    return error_of(unshare(CLONE_NEWUSER));
}

static int clone_namespace(struct hf_arena *arena)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

    (void)arena;
    if (pid == 0) {
        _exit(0);
    }
    return error_of(pid);
}

static int writable_code(struct hf_arena *arena)
{
    void *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arena;
    return code == MAP_FAILED ? errno : 0;
}

static int code_from_data(struct hf_arena *arena)
{
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arena;
    HF_CHECK(data != MAP_FAILED);
    return error_of(mprotect(data, 4096, PROT_READ | PROT_EXEC));
}

static int other_socket(struct hf_arena *arena)
{
    (void)arena;
    return error_of(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int personality_of_others(struct hf_arena *arena)
{
    (void)arena;
    return error_of(syscall(SYS_personality, 0xffffffff));
}

static int user_faults(struct hf_arena *arena)
{
    (void)arena;
    return error_of(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
}

static int key_ring(struct hf_arena *arena)
{
    (void)arena;
    return error_of(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1));
}

static int tcp_socket(struct hf_arena *arena)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    HF_CLEANUP(hf_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arena;
    return error_of(bind(fd, (const struct sockaddr *)(const void *)&any, sizeof(any)));
}

/* What must go on working. */
static int work_inside(struct hf_arena *arena)
{
    int error = open_and_close(in(arena, "file"), O_RDWR);

    error = error != 0 ? error : error_of(rename(in(arena, "file"), in(arena, "dir/moved")));
    error = error != 0 ? error : error_of(mkdir(in(arena, "dir/new"), 0700));
    error = error != 0 ? error : error_of(rmdir(in(arena, "dir/new")));
    error = error != 0 ? error : open_and_close("/dev/null", O_RDWR);
    error = error != 0 ? error : open_and_close("/proc/self/statm", O_RDONLY);
    error = error != 0 ? error : open_and_close("/etc/hosts", O_RDONLY);
    return error != 0 ? error : error_of(truncate(in(arena, "dir/moved"), 0));
}

static void count(void *arg)
{
    *(int *)arg += 1;
}

static int start_thread(struct hf_arena *arena)
{
    int counted = 0;

    (void)arena;
    hf_thread_join(hf_thread_start("sample", count, &counted));
    return counted == 1 ? 0 : EINVAL;
}

static void read_outside_in_thread(void *arg)
{
    struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);

    *(int *)arg = read_outside(arena);
    hf_arena_free(arena);
}

static int read_in_thread(struct hf_arena *arena)
{
    int error = -1;

    (void)arena;
    hf_thread_join(hf_thread_start("reader", read_outside_in_thread, &error));
    return error;
}

static const struct attempt {
    const char *name;
    int (*fn)(struct hf_arena *arena);
    int error;         /* when confined */
    int version;       /* of landlock that it takes; 0: seccomp */
    bool fails_anyway; /* for an ordinary user, or by this kernel */
} attempts[] = {
    {"read outside", read_outside, EACCES, 2, false},
    {"list outside", list_outside, EACCES, 2, false},
    {"write outside", write_outside, EACCES, 2, false},
    {"create outside", create_outside, EACCES, 2, false},
    {"read through a link", read_by_link, EACCES, 2, false},
    {"read through dots", read_by_dots, EACCES, 2, false},
    {"create through a linked directory", create_by_dir_link, EACCES, 2, false},
    {"rename out", rename_out, EACCES, 2, false},
    {"hard link in", hard_link_in, EXDEV, 2, false},
    {"remove outside", remove_outside, EACCES, 2, false},
    {"truncate outside", truncate_outside, EACCES, 3, false},
    {"read outside in a thread", read_in_thread, EACCES, 2, false},
    {"make a device", make_device_inside, EACCES, 2, true},
    {"bind TCP", tcp_socket, EACCES, 4, false},
    {"signal a stranger", signal_parent, EPERM, 6, false},
    {"start a program", start_program, EPERM, 0, false},
    {"trace the parent", trace_parent, EPERM, HF_HAS_ASAN ? 2 : 0, true},
    {"unshare", new_namespace, EPERM, 0, true},
    {"clone into a namespace", clone_namespace, EPERM, 0, true},
    {"map writable code", writable_code, EPERM, 0, false},
    {"make data code", code_from_data, EPERM, 0, false},
    {"open a socket of the kernel's crypto", other_socket, EAFNOSUPPORT, 0, true},
    {"personality", personality_of_others, EPERM, 0, false},
    {"userfaultfd", user_faults, EPERM, 0, true},
    {"key ring", key_ring, EPERM, 0, true},
    {"work inside", work_inside, 0, 0, false},
    {"start a thread", start_thread, 0, 0, false},
};

/* --- the runs ------------------------------------------------------------------------------- */

static void confine(struct hf_arena *arena, struct svc_confinement *ret)
{
    const char *const linked[] = {in(arena, "listed"), "/not/there", NULL};
    static const char *const read[] = {SVC_CONFINE_SYSTEM, "/not/there", NULL};
    const char *const write[] = {place.in, NULL};
    const struct svc_confine_rules rules = {
        .read = read, .linked = linked, .write = write, .has_no_tcp = true};

    if (!hf_is_ok(svc_confine(arena, &rules, ret))) {
        _exit(NOT_CONFINED);
    }
}

static int try_in_child(const struct attempt *attempt, bool is_confined)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);
        struct svc_confinement on = {0, false};
        if (is_confined) {
            confine(arena, &on);
        }
        _exit(attempt->fn(arena));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void make_file(const char *dir, const char *name)
{
    char path[PATH_ROOM * 2];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    HF_CHECK(open_and_close(path, O_WRONLY | O_CREAT) == 0);
}

static int make_place(void **state)
{
    struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);

    (void)state;
    (void)snprintf(place.root, sizeof(place.root), "/tmp/confine.%d", (int)getpid());
    (void)snprintf(place.in, sizeof(place.in), "/tmp/confine.%d/in", (int)getpid());
    (void)snprintf(place.out, sizeof(place.out), "/tmp/confine.%d/out", (int)getpid());
    HF_CHECK(hf_is_ok(hf_make_dirs(arena, in(arena, "dir"), 0700)));
    HF_CHECK(hf_is_ok(hf_make_dirs(arena, out(arena, "dir"), 0700)));
    make_file(place.in, "file");
    make_file(place.out, "file");
    HF_CHECK(symlink(out(arena, "file"), in(arena, "link")) == 0);
    HF_CHECK(symlink(place.out, in(arena, "dirlink")) == 0);
    HF_CHECK(hf_is_ok(hf_make_dirs(arena, hf_printf(arena, "%s/names", place.root), 0700)));
    make_file(hf_printf(arena, "%s/names", place.root), "file");
    HF_CHECK(symlink("../names/file", in(arena, "listed")) == 0);
    hf_arena_free(arena);
    return 0;
}

static int remove_place(void **state)
{
    struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);

    (void)state;
    HF_CHECK(hf_is_ok(hf_remove_tree(arena, place.root)));
    hf_arena_free(arena);
    return 0;
}

static int kernel_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

static void test_confine__refuses_each_attempt_with_its_error(void **state)
{
    size_t wrong = 0;

    for (size_t i = 0; i < HF_LEN(attempts); i++) {
        bool is_held = attempts[i].version <= kernel_version();
        (void)make_place(state);
        int error = try_in_child(&attempts[i], true);
        (void)remove_place(state);
        if (is_held && error != attempts[i].error) {
            print_error("%s: error %d instead of %d\n", attempts[i].name, error, attempts[i].error);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_confine__each_attempt_works_without_it(void **state)
{
    size_t wrong = 0;

    for (size_t i = 0; i < HF_LEN(attempts); i++) {
        (void)make_place(state);
        int error = attempts[i].fails_anyway ? 0 : try_in_child(&attempts[i], false);
        (void)remove_place(state);
        if (error != 0) {
            print_error("%s: error %d\n", attempts[i].name, error);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_confine__says_what_is_on(void **state)
{
    int status = 0;

    (void)make_place(state);
    pid_t pid = fork();
    if (pid == 0) {
        struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);
        struct svc_confinement on = {0, false};
        confine(arena, &on);
        const struct svc_confinement had = svc_confine_available();
        bool is_right = had.landlock == on.landlock && had.has_seccomp &&
                        on.landlock == kernel_version() && on.has_seccomp &&
                        prctl(PR_GET_SECCOMP) == 2 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
        _exit(is_right ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)remove_place(state);
}

/* As a resolver's file is: a link to where its owner puts a new one whenever the network changes.
 */
static void test_confine__reads_what_a_listed_link_leads_to_and_what_replaces_it(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);
    struct svc_confinement on = {0, false};
    int status = 0;
    int go[2];
    char byte = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        confine(arena, &on);
        HF_CHECK(write(go[0], "x", 1) == 1 && read(go[0], &byte, 1) == 1);
        int error = open_and_close(in(arena, "listed"), O_RDONLY);
        _exit(error != 0 ? error : on.landlock == 0 ? 0 : read_by_link(arena) == EACCES ? 0 : EIO);
    }
    const char *file = hf_printf(arena, "%s/names/file", place.root);
    close(go[0]);
    assert_int_equal(read(go[1], &byte, 1), 1);
    assert_true(hf_is_ok(hf_replace_file(arena, file, "new", 3, 0600)));
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    close(go[1]);
}

static void test_confine__names_a_writable_path_that_is_missing(void **state)
{
    static const char *const write[] = {"/not/there", NULL};
    const struct svc_confine_rules rules = {.write = write};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);
    struct svc_confine_plan *plan = NULL;

    (void)state;
    struct hf_status status = svc_confine_make(arena, &rules, &plan);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_non_null(strstr(status.message, "/not/there"));
    assert_null(plan);
}

/* A child between fork and exec: its own program runs, no other one does. */
static void test_confine__a_plan_lets_one_program_run(void **state)
{
    static const char *const read[] = {"/usr/lib", "/lib", "/lib64", "/etc", NULL};
    static const char *const programs[] = {"/usr/bin/env", SVC_CONFINE_LOADER, NULL};
    static const struct {
        const char *argument;
        int code;
    } runs[] = {{"--version", 0}, {"/usr/bin/true", 126}};
    const struct svc_confine_rules rules = {.read = read, .execute = programs};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(CODE_ARENA_BYTES);
    HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = NULL;

    (void)state;
    assert_int_equal(svc_confine_make(arena, &rules, &plan).code, HF_OK);
    for (size_t i = 0; i < HF_LEN(runs); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, 1);
            dup2(null, 2);
            if (svc_confine_apply(plan) == 0) {
                execl("/usr/bin/env", "env", runs[i].argument, (char *)NULL);
            }
            _exit(NOT_CONFINED);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), runs[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confine__refuses_each_attempt_with_its_error),
        cmocka_unit_test(test_confine__each_attempt_works_without_it),
        cmocka_unit_test(test_confine__says_what_is_on),
        cmocka_unit_test_setup_teardown(
            test_confine__reads_what_a_listed_link_leads_to_and_what_replaces_it, make_place,
            remove_place),
        cmocka_unit_test(test_confine__names_a_writable_path_that_is_missing),
        cmocka_unit_test(test_confine__a_plan_lets_one_program_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
