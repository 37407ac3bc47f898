/* This process among the workers: who it is, and when another one is provably gone. The proof needs
 * no clock: the kernel that ran it says so (same boot, same pid namespace, no such process or
 * another one under its number), or that kernel has been booted anew. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "jobs/internal.h"

#define STAT_START_FIELD 22

static void read_line(const char *path, char *ret_text, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 * 1024);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 4096);
    if (hf_is_ok(hf_read_file(arena, path, &buf))) {
        const char *text = hf_buf_text(&buf);
        size_t len = strcspn(text, "\n");
        len = len < size ? len : size - 1;
        memcpy(ret_text, text, len);
        ret_text[len] = '\0';
    }
}

#define UNKNOWN (-1)

/* A file that cannot be read proves nothing: descriptors may be short, or /proc hides the processes
 * of others. */
static int64_t ticks_of_unread(int64_t pid, struct hf_status status)
{
    bool is_absent = status.code == HF_NOT_FOUND && kill((pid_t)pid, 0) != 0 && errno == ESRCH;

    return is_absent ? 0 : UNKNOWN;
}

/* Start time of a process in clock ticks since boot; 0: there is none, or it is a zombie. */
static int64_t start_ticks_of(int64_t pid)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 * 1024);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    int64_t ticks = 0;

    hf_buf_init(&buf, 4096);
    const char *path = hf_printf(arena, "/proc/%lld/stat", (long long)pid);
    struct hf_status status = hf_read_file(arena, path, &buf);
    if (!hf_is_ok(status)) {
        return ticks_of_unread(pid, status);
    }
    /* "pid (name) state …": the name may contain anything, so count from the last ')'. */
    const char *field = strrchr(hf_buf_text(&buf), ')');
    if (field == NULL || field[1] == '\0' || strchr("ZX", field[2]) != NULL) {
        return 0;
    }
    for (int i = 2; i < STAT_START_FIELD && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    if (field != NULL) {
        size_t len = strspn(field + 1, "0123456789");
        hf_parse_i64(hf_strndup(arena, field + 1, len), &ticks);
    }
    return ticks;
}

void jobs_host_read(struct jobs_host *ret_host)
{
    ssize_t len = 0;

    *ret_host = (struct jobs_host){.pid = getpid()};
    if (gethostname(ret_host->host, sizeof(ret_host->host) - 1) != 0) {
        ret_host->host[0] = '\0';
    }
    read_line("/proc/sys/kernel/random/boot_id", ret_host->boot_id, sizeof(ret_host->boot_id));
    len =
        readlink("/proc/self/ns/pid", ret_host->pid_namespace, sizeof(ret_host->pid_namespace) - 1);
    ret_host->pid_namespace[len > 0 ? len : 0] = '\0';
    ret_host->start_ticks = start_ticks_of(ret_host->pid);
}

bool jobs_host_is_gone(const struct jobs_host *us, const struct jobs_host *other, bool is_same_name)
{
    if (us->boot_id[0] == '\0' || strcmp(us->host, other->host) != 0) {
        return false;
    }
    if (strcmp(us->boot_id, other->boot_id) != 0) {
        return is_same_name;
    }
    if (us->pid_namespace[0] == '\0' || strcmp(us->pid_namespace, other->pid_namespace) != 0 ||
        other->start_ticks <= 0) {
        return false;
    }
    int64_t ticks = start_ticks_of(other->pid);
    return ticks != UNKNOWN && ticks != other->start_ticks;
}
