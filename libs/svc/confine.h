/* What a process gives up before it reads foreign bytes: files outside two lists, programs, and
 * the system calls that only an intruder would make.
 *
 *   static const char *const read[] = {SVC_CONFINE_SYSTEM, NULL};
 *   const char *const write[] = {target, NULL};
 *   const struct svc_confine_rules rules = {.read = read, .write = write};
 *   HF_TRY(svc_confine(arena, &rules, &confinement));
 *
 * Landlock holds the files and TCP, seccomp the calls, no_new_privs keeps both through an exec.
 * What the kernel has not is left out and *ret says so: a service on an old kernel still runs. What
 * it has and cannot be taken is an error.
 *
 * Not held: files that are open already, connecting to UNIX sockets, stat and readlink, UDP.
 */
#ifndef HF_SVC_CONFINE_H
#define HF_SVC_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/status.h"

/* Paths are files, or directories with all below; links are followed once, now. The list ends with
 * NULL; a NULL list is empty. */
struct svc_confine_rules {
    const char *const *read;    /* what is not there is left out */
    const char *const *linked;  /* as read, with the directory that a link leads to: what lies there
                                   is replaced by a new file. Not a directory below the root */
    const char *const *write;   /* and read, create, rename, remove; must be there */
    const char *const *execute; /* as read; NULL: no program is started any more */
    bool has_no_tcp;            /* neither connects nor listens */
};

/* Libraries, names of hosts and users, certificates, time zones: what libc, OpenSSL, libpq and gRPC
 * open. /etc as a whole, because its files are replaced by new ones while a service runs. */
#define SVC_CONFINE_SYSTEM                                                                         \
    "/usr", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system/cpu", "/dev/urandom",          \
        "/dev/random", "/dev/zero", "/run/systemd", "/run/resolvconf", "/run/NetworkManager"

/* Of them what a distribution keeps elsewhere (/mnt/wsl, /run/connman, /nix/store). */
#define SVC_CONFINE_LINKED                                                                         \
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/localtime",     \
        "/etc/ssl/openssl.cnf", "/etc/passwd", "/etc/group"

/* What a service's settings name; entries may be NULL or "". */
struct svc_confine_places {
    const char *const *files; /* read, and what lies beside them: they are replaced by new ones */
    size_t files_len;
    const char *const *dirs; /* read and written, and made: afterwards they could not be */
    size_t dirs_len;
    const char *const *more; /* read, as rules.read and rules.linked; the list ends with NULL */
};

/* The rules of a service: these places and what libraries open (SVC_CONFINE_SYSTEM). A file that is
 * missing is said by who reads it. Texts are those of places, or live in arena.
 * Errors   of making directories */
struct hf_status svc_confine_to(struct hf_arena *arena, const struct svc_confine_places *places,
                                struct svc_confine_rules *ret_rules) HF_MUST_USE;

/* What is on. */
struct svc_confinement {
    int landlock; /* version of the kernel's interface, 0: it has none */
    bool has_seccomp;
};

/* What this kernel has. */
struct svc_confinement svc_confine_available(void);

/* Confine the calling thread and those that it starts from now on; seccomp also those that run
 * already. So it is called before any thread is started. It cannot be undone.
 *
 * Errors   NOT_FOUND, PERMISSION_DENIED a path of write; INTERNAL the kernel refused
 * Repeat   adds: what one of the calls forbids is forbidden
 */
struct hf_status svc_confine(struct hf_arena *arena, const struct svc_confine_rules *rules,
                             struct svc_confinement *ret) HF_MUST_USE;

/* The same in two steps for a child between fork and exec: make in the parent (same errors), apply
 * in the child (system calls only; 0 or an errno), close in the parent. Programs that are exec'd
 * need their own path and their loader in execute. */
struct svc_confine_plan;
struct hf_status svc_confine_make(struct hf_arena *arena, const struct svc_confine_rules *rules,
                                  struct svc_confine_plan **ret_plan) HF_MUST_USE;
int svc_confine_apply(const struct svc_confine_plan *plan);
void svc_confine_close(struct svc_confine_plan *plan); /* accepts NULL */

static inline void svc_confine_close_cleanup(struct svc_confine_plan **plan)
{
    svc_confine_close(*plan);
    *plan = NULL;
}

/* The loader of programs, for execute; whichever of them is there. */
#define SVC_CONFINE_LOADER "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"

#endif
