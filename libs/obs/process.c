/* CPU, memory and start time of this process, from getrusage(2) and /proc/self/statm (the one
 * memory file that stays readable when the process forbids being dumped). */
#include "obs/process.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define STATM_MAX_BYTES 256

static int64_t us_of(struct timeval time)
{
    return (int64_t)time.tv_sec * HF_US_PER_S + (int64_t)time.tv_usec;
}

static void write_gauge(struct hf_buf *buf, const char *name, const char *help, const char *type)
{
    hf_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
}

/* Bytes, 0 when unknown. The second number of statm counts resident pages. */
static uint64_t resident_bytes(void)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_CLEANUP(hf_buf_done) struct hf_buf statm = {0};
    uint64_t pages = 0;

    hf_buf_init(&statm, STATM_MAX_BYTES);
    if (!hf_is_ok(hf_read_file(arena, "/proc/self/statm", &statm))) {
        return 0;
    }
    const char *second = strchr(hf_buf_text(&statm), ' ');
    if (second != NULL) {
        size_t len = strspn(second + 1, "0123456789");
        (void)hf_parse_u64(hf_strndup(arena, second + 1, len), &pages);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void obs_process_write(struct hf_buf *buf, int64_t start_us)
{
    uint64_t resident = resident_bytes();
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        int64_t cpu_us = us_of(usage.ru_utime) + us_of(usage.ru_stime);
        write_gauge(buf, "process_cpu_seconds_total", "CPU time of this process.", "counter");
        hf_buf_printf(buf, "%" PRId64 ".%06" PRId64 "\n", cpu_us / HF_US_PER_S,
                      cpu_us % HF_US_PER_S);
    }
    if (resident > 0) {
        write_gauge(buf, "process_resident_memory_bytes", "Resident memory.", "gauge");
        hf_buf_printf(buf, "%" PRIu64 "\n", resident);
    }
    write_gauge(buf, "process_start_time_seconds", "Start, in seconds since 1970.", "gauge");
    hf_buf_printf(buf, "%" PRId64 "\n", start_us / HF_US_PER_S);
}
