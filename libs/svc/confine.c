/* Landlock and seccomp. A plan is made with all that can fail or needs memory; applying it is three
 * system calls, so that the child of a fork can do it.
 *
 * The calls are a list of what is denied, not of what is allowed: libraries change the calls that
 * they make with every update, and a service that then dies at night is worse than one that could
 * still call what nobody here has a use for. */
#include "svc/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"

/* --- system calls --------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define FOREIGN_ABI_BIT 0x40000000U /* x32 */
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_ABI_BIT 0x80000000U /* none has it */
#else
#error "calls are known for x86-64 and arm64"
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

enum test { ALWAYS, IS, HAS_ANY, HAS_ALL };

/* The first row that fits a call decides; what no row fits is allowed. */
struct call_row {
    int nr;
    int error; /* 0: allowed */
    enum test test;
    uint8_t argument; /* the test's; its low 32 bits are looked at */
    uint32_t value;
    bool is_of_exec; /* left out when programs may be executed */
};

static const struct call_row calls[] = {
    /* other programs, other processes */
    {.nr = SYS_execve, .error = EPERM, .is_of_exec = true},
    {.nr = SYS_execveat, .error = EPERM},
#if !HF_HAS_ASAN /* the leak checker looks into its own process by them */
    {.nr = SYS_ptrace, .error = EPERM},
    {.nr = SYS_process_vm_readv, .error = EPERM},
#endif
    {.nr = SYS_process_vm_writev, .error = EPERM},
    {.nr = SYS_process_madvise, .error = EPERM},
    {.nr = SYS_pidfd_getfd, .error = EPERM},
    {.nr = SYS_kcmp, .error = EPERM},
    {.nr = SYS_personality, .error = EPERM},
    /* code made at run time */
    {SYS_mmap, EPERM, HAS_ALL, 2, PROT_WRITE | PROT_EXEC, false},
    {SYS_mprotect, EPERM, HAS_ANY, 2, PROT_EXEC, false},
    {SYS_pkey_mprotect, EPERM, HAS_ANY, 2, PROT_EXEC, false},
    {SYS_shmat, EPERM, HAS_ANY, 2, SHM_EXEC, false},
    {.nr = SYS_memfd_secret, .error = EPERM},
    /* namespaces, roots, mounts. The argument of clone3 is in memory, where a filter sees nothing;
     * libc takes clone when it is not there. */
    {SYS_clone, EPERM, HAS_ANY, 0, NEW_NAMESPACES, false},
    {.nr = SYS_clone3, .error = ENOSYS},
    {.nr = SYS_unshare, .error = EPERM},
    {.nr = SYS_setns, .error = EPERM},
    {.nr = SYS_chroot, .error = EPERM},
    {.nr = SYS_pivot_root, .error = EPERM},
    {.nr = SYS_mount, .error = EPERM},
    {.nr = SYS_umount2, .error = EPERM},
    {.nr = SYS_move_mount, .error = EPERM},
    {.nr = SYS_open_tree, .error = EPERM},
    {.nr = SYS_open_tree_attr, .error = EPERM},
    {.nr = SYS_fsopen, .error = EPERM},
    {.nr = SYS_fsconfig, .error = EPERM},
    {.nr = SYS_fsmount, .error = EPERM},
    {.nr = SYS_fspick, .error = EPERM},
    {.nr = SYS_mount_setattr, .error = EPERM},
    {.nr = SYS_open_by_handle_at, .error = EPERM},
    {.nr = SYS_name_to_handle_at, .error = EPERM},
    {.nr = SYS_fanotify_init, .error = EPERM},
    /* big doors of the kernel that nothing here needs */
    {.nr = SYS_bpf, .error = EPERM},
    {.nr = SYS_perf_event_open, .error = EPERM},
    {.nr = SYS_userfaultfd, .error = EPERM},
    {.nr = SYS_io_uring_setup, .error = ENOSYS},
    {.nr = SYS_io_uring_enter, .error = ENOSYS},
    {.nr = SYS_io_uring_register, .error = ENOSYS},
    {.nr = SYS_add_key, .error = EPERM},
    {.nr = SYS_request_key, .error = EPERM},
    {.nr = SYS_keyctl, .error = EPERM},
    {.nr = SYS_socket, .error = 0, .test = IS, .value = AF_UNIX},
    {.nr = SYS_socket, .error = 0, .test = IS, .value = AF_INET},
    {.nr = SYS_socket, .error = 0, .test = IS, .value = AF_INET6},
    {.nr = SYS_socket, .error = 0, .test = IS, .value = AF_NETLINK}, /* libc: own addresses */
    {.nr = SYS_socket, .error = EAFNOSUPPORT},
    {SYS_ioctl, EPERM, IS, 1, TIOCSTI, false},
    {SYS_ioctl, EPERM, IS, 1, TIOCLINUX, false},
    /* the machine */
    {.nr = SYS_init_module, .error = EPERM},
    {.nr = SYS_finit_module, .error = EPERM},
    {.nr = SYS_delete_module, .error = EPERM},
    {.nr = SYS_kexec_load, .error = EPERM},
    {.nr = SYS_kexec_file_load, .error = EPERM},
    {.nr = SYS_reboot, .error = EPERM},
    {.nr = SYS_swapon, .error = EPERM},
    {.nr = SYS_swapoff, .error = EPERM},
    {.nr = SYS_quotactl, .error = EPERM},
    {.nr = SYS_quotactl_fd, .error = EPERM},
    {.nr = SYS_acct, .error = EPERM},
    {.nr = SYS_syslog, .error = EPERM},
    {.nr = SYS_vhangup, .error = EPERM},
    {.nr = SYS_settimeofday, .error = EPERM},
    {.nr = SYS_clock_settime, .error = EPERM},
    {.nr = SYS_clock_adjtime, .error = EPERM},
    {.nr = SYS_adjtimex, .error = EPERM},
    {.nr = SYS_sethostname, .error = EPERM},
    {.nr = SYS_setdomainname, .error = EPERM},
#if defined(__x86_64__)
    {.nr = SYS_iopl, .error = EPERM},
    {.nr = SYS_ioperm, .error = EPERM},
    {.nr = SYS_modify_ldt, .error = EPERM},
    {.nr = SYS_uselib, .error = EPERM},
    {.nr = SYS_ustat, .error = EPERM},
    {.nr = SYS_sysfs, .error = EPERM},
#endif
};

#define ROW_STEPS 6 /* at most, of the filter for one row */
#define FRAME_STEPS 8

struct filter {
    struct sock_filter steps[HF_LEN(calls) * ROW_STEPS + FRAME_STEPS];
    unsigned short len;
};

static void step(struct filter *filter, uint16_t code, uint32_t k, uint8_t on_true,
                 uint8_t on_false)
{
    filter->steps[filter->len++] = (struct sock_filter){code, on_true, on_false, k};
}

#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define RETURN (BPF_RET | BPF_K)
#define IF_EQUAL (BPF_JMP | BPF_JEQ | BPF_K)
#define IF_ANY (BPF_JMP | BPF_JSET | BPF_K)
#define AND (BPF_ALU | BPF_AND | BPF_K)

/* Between rows the accumulator holds the number of the call. */
static void add_row(struct filter *filter, const struct call_row *row)
{
    const uint32_t verdict = row->error == 0
                                 ? SECCOMP_RET_ALLOW
                                 : SECCOMP_RET_ERRNO | ((uint32_t)row->error & SECCOMP_RET_DATA);
    uint8_t own_steps = row->test == ALWAYS ? 1 : row->test == HAS_ALL ? 5 : 4;

    step(filter, IF_EQUAL, (uint32_t)row->nr, 0, own_steps);
    if (row->test == ALWAYS) {
        step(filter, RETURN, verdict, 0, 0);
        return;
    }
    /* Both machines keep the low half of an argument first. */
    step(filter, LOAD,
         (uint32_t)(offsetof(struct seccomp_data, args) + row->argument * sizeof(uint64_t)), 0, 0);
    if (row->test == HAS_ALL) {
        step(filter, AND, row->value, 0, 0);
    }
    step(filter, row->test == HAS_ANY ? IF_ANY : IF_EQUAL, row->value, 0, 1);
    step(filter, RETURN, verdict, 0, 0);
    step(filter, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
}

static void make_filter(struct filter *filter, bool may_execute)
{
    step(filter, LOAD, offsetof(struct seccomp_data, arch), 0, 0);
    step(filter, IF_EQUAL, OWN_ARCH, 1, 0);
    step(filter, RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
    step(filter, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
    step(filter, IF_ANY, FOREIGN_ABI_BIT, 0, 1);
    step(filter, RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
    for (size_t i = 0; i < HF_LEN(calls); i++) {
        if (!may_execute || !calls[i].is_of_exec) {
            add_row(filter, &calls[i]);
        }
    }
    step(filter, RETURN, SECCOMP_RET_ALLOW, 0, 0);
    HF_CHECK(filter->len <= HF_LEN(filter->steps));
}

/* --- files ---------------------------------------------------------------------------------- */

/* linux/landlock.h of Debian 12 knows half of them; the numbers are the kernel's for ever. */
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_CHAR (UINT64_C(1) << 6)
#define FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define FS_FIRST ((UINT64_C(1) << 13) - 1) /* of the first version: all but the three below */
#define FS_REFER (UINT64_C(1) << 13)       /* rename and link between directories */
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define NET_BIND_TCP (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)
#define CREATE_VERSION 1U
#define RULE_PATH_BENEATH 1

#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_NEVER (FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV)

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

struct path_rule {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* What each version of the interface brought. The first denies every rename between directories,
 * which the vault needs: it counts as none. */
static const struct {
    int version;
    struct ruleset brings;
} versions[] = {
    {2, {.fs = FS_FIRST | FS_REFER}},
    {3, {.fs = FS_TRUNCATE}},
    {4, {.net = NET_BIND_TCP | NET_CONNECT_TCP}},
    {5, {.fs = FS_IOCTL_DEV}},
    {6, {.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL}},
};

static int landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

    return version < versions[0].version ? 0 : (int)version;
}

static struct ruleset ruleset_of(int version, bool has_no_tcp)
{
    struct ruleset all = {0};

    for (size_t i = 0; i < HF_LEN(versions) && versions[i].version <= version; i++) {
        all.fs |= versions[i].brings.fs;
        all.net |= versions[i].brings.net;
        all.scoped |= versions[i].brings.scoped;
    }
    all.net = has_no_tcp ? all.net : 0;
    return all;
}

struct svc_confine_plan {
    struct svc_confinement confinement;
    int ruleset; /* -1: no landlock */
    uint64_t fs; /* rights that the ruleset is about */
    struct filter filter;
};

static struct hf_status allow(struct hf_arena *arena, const struct svc_confine_plan *plan,
                              const char *path, uint64_t rights, bool may_be_absent)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat found;

    if (fd < 0 || fstat(fd, &found) != 0) {
        return may_be_absent ? hf_success() : hf_fail_errno(arena, errno, "opening %s", path);
    }
    const struct path_rule rule = {
        .allowed = rights & plan->fs & (S_ISDIR(found.st_mode) ? UINT64_MAX : FS_OF_FILES),
        .fd = fd,
    };

    if (syscall(SYS_landlock_add_rule, plan->ruleset, RULE_PATH_BENEATH, &rule, 0) != 0) {
        return hf_fail(arena, HF_INTERNAL, "landlock takes no rule for %s (error %d)", path, errno);
    }
    return hf_success();
}

static struct hf_status allow_all(struct hf_arena *arena, const struct svc_confine_plan *plan,
                                  const char *const *paths, uint64_t rights, bool may_be_absent)
{
    for (; paths != NULL && *paths != NULL; paths++) {
        HF_TRY(allow(arena, plan, *paths, rights, may_be_absent));
    }
    return hf_success();
}

/* The file that a link leads to, and its directory unless that holds more than such files. */
static struct hf_status allow_linked(struct hf_arena *arena, const struct svc_confine_plan *plan,
                                     const char *path)
{
    char *found = hf_alloc(arena, PATH_MAX);
    struct stat info;

    if (lstat(path, &info) != 0 || !S_ISLNK(info.st_mode) || realpath(path, found) == NULL) {
        return hf_success();
    }
    HF_TRY(allow(arena, plan, found, FS_READ, true));
    char *slash = strrchr(found, '/');

    *slash = '\0';
    return strchr(found + 1, '/') == NULL ? hf_success() : allow(arena, plan, found, FS_READ, true);
}

/* HF_TOOL_DIR: where a build for tests writes its sanitizers' reports or its coverage. */
static struct hf_status allow_always(struct hf_arena *arena, const struct svc_confine_plan *plan)
{
#ifdef HF_TOOL_DIR
    HF_TRY(allow(arena, plan, HF_TOOL_DIR, ~FS_NEVER, true));
#endif
    return allow(arena, plan, "/dev/null", FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE, true);
}

static struct hf_status make_ruleset(struct hf_arena *arena, const struct svc_confine_rules *rules,
                                     struct svc_confine_plan *plan)
{
    const struct ruleset ruleset = ruleset_of(plan->confinement.landlock, rules->has_no_tcp);

    plan->ruleset = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    plan->fs = ruleset.fs;
    if (plan->ruleset < 0) {
        return hf_fail(arena, HF_INTERNAL, "landlock makes no set of rules (error %d)", errno);
    }
    HF_TRY(allow_always(arena, plan));
    HF_TRY(allow_all(arena, plan, rules->read, FS_READ, true));
    for (const char *const *path = rules->linked; path != NULL && *path != NULL; path++) {
        HF_TRY(allow_linked(arena, plan, *path));
    }
    HF_TRY(allow_all(arena, plan, rules->write, ~FS_NEVER, false));
    return allow_all(arena, plan, rules->execute, FS_EXECUTE | FS_READ_FILE, true);
}

/* --- both ----------------------------------------------------------------------------------- */

static bool has_seccomp(void)
{
    const uint32_t action = SECCOMP_RET_KILL_PROCESS;

    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

struct svc_confinement svc_confine_available(void)
{
    return (struct svc_confinement){landlock_version(), has_seccomp()};
}

struct hf_status svc_confine_make(struct hf_arena *arena, const struct svc_confine_rules *rules,
                                  struct svc_confine_plan **ret_plan)
{
    HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = hf_heap_alloc(sizeof(*plan));

    plan->confinement = svc_confine_available();
    plan->ruleset = -1;
    make_filter(&plan->filter, rules->execute != NULL);
    if (plan->confinement.landlock > 0) {
        HF_TRY(make_ruleset(arena, rules, plan));
    }
    *ret_plan = HF_TAKE(plan);
    return hf_success();
}

int svc_confine_apply(const struct svc_confine_plan *plan)
{
    union {
        const struct sock_filter *in;
        struct sock_filter *out;
    } steps = {plan->filter.steps};
    const struct sock_fprog program = {.len = plan->filter.len, .filter = steps.out};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        (plan->ruleset >= 0 && syscall(SYS_landlock_restrict_self, plan->ruleset, 0) != 0)) {
        return errno;
    }
    if (!plan->confinement.has_seccomp) {
        return 0;
    }
    long failed =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);

    /* Above 0: the thread that could not follow, because it has a filter of its own. */
    return failed == 0 ? 0 : failed > 0 ? EBUSY : errno;
}

void svc_confine_close(struct svc_confine_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    if (plan->ruleset >= 0) {
        close(plan->ruleset);
    }
    hf_heap_free(plan);
}

struct hf_status svc_confine(struct hf_arena *arena, const struct svc_confine_rules *rules,
                             struct svc_confinement *ret)
{
    HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = NULL;

    HF_TRY(svc_confine_make(arena, rules, &plan));
    int error = svc_confine_apply(plan);

    if (error != 0) {
        return hf_fail(arena, HF_INTERNAL, "the kernel confines no process (error %d)", error);
    }
    *ret = plan->confinement;
    return hf_success();
}
