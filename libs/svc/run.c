/* The frame of a service process.
 *
 * Surprise: stop runs in a thread of its own, because the main thread goes on taking signals: a
 * second SIGTERM ends the draining early, and a stop that hangs past its time is a bug that aborts
 * the process (every effect of ours may be repeated after a restart). */
#include "svc/run.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/pool.h"
#include "svc/environment.h"

#define MAX_DESCRIPTORS 65536
#define LOCKED_BYTES ((rlim_t)64 << 20)
#define LOCKED_LEAST_BYTES ((rlim_t)1 << 20) /* the keys of a few tenants */
#define PROCESS_ARENA_BYTES ((size_t)64 << 20)
#define STOP_ARENA_BYTES ((size_t)16 << 20)
#define HELP_MAX_BYTES ((size_t)1 << 20)
#define TICK_MS 200
#define STOP_GRACE_MS 10000

/* To the hard limit, at most wanted; never lower. */
static void raise_limit(__rlimit_resource_t resource, rlim_t wanted)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0) {
        wanted = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        limit.rlim_cur = limit.rlim_cur > wanted ? limit.rlim_cur : wanted;
        (void)setrlimit(resource, &limit);
    }
}

/* Keys are used whether they can be locked or not; said once, here. */
static void warn_of_little_locked_memory(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < LOCKED_LEAST_BYTES &&
        geteuid() != 0) {
        hf_warn(NULL, HF_EVENT("process.keys_may_be_swapped"),
                HF_INT("memlock_bytes", limit.rlim_cur),
                HF_INT("wanted_bytes", LOCKED_LEAST_BYTES));
    }
}

void svc_process_prepare(void)
{
    const struct rlimit no_core = {0, 0};

    /* Keys are in memory: no core files, no ptrace by other processes of the same user. The leak
     * checker of a sanitizer build is such a process. */
    HF_CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
    HF_CHECK(prctl(PR_SET_DUMPABLE, HF_HAS_ASAN, 0, 0, 0) == 0);
    raise_limit(RLIMIT_NOFILE, MAX_DESCRIPTORS);
    raise_limit(RLIMIT_MEMLOCK, LOCKED_BYTES);
    /* Each malloc arena keeps its own free pages; big buffers go back to the system when freed.
     * NOLINTBEGIN(concurrency-mt-unsafe): no other thread exists yet. */
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

/* All but those that mean a fault of the program itself. */
static void block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t all;

    (void)sigfillset(&all);
    for (size_t i = 0; i < HF_LEN(faults); i++) {
        (void)sigdelset(&all, faults[i]);
    }
    HF_CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
}

/* SIGTERM, SIGINT, or 0 after TICK_MS. */
static int next_signal(void)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    sigset_t ends;

    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    int number = sigtimedwait(&ends, NULL, &tick);
    return number > 0 ? number : 0;
}

/* Returns false when is_alive, not a signal, ended the service. */
static bool wait_for_end(const struct svc_service *service, const struct hf_ctx *ctx, void *app)
{
    for (;;) {
        int number = next_signal();
        if (number != 0) {
            hf_info(ctx, HF_EVENT("process.stopping"), HF_TEXT("signal", sigabbrev_np(number)));
            return true;
        }
        if (service->is_alive != NULL && !service->is_alive(app)) {
            hf_error(ctx, HF_EVENT("process.broken"));
            return false;
        }
    }
}

struct stopping {
    const struct svc_service *service;
    void *app;
    struct hf_ctx ctx;
    struct hf_cancel hurry;
    atomic_bool is_done;
};

static void stop_main(void *arg)
{
    struct stopping *stopping = arg;

    stopping->service->stop(&stopping->ctx, stopping->app);
    atomic_store(&stopping->is_done, true);
}

static void stop_service(const struct svc_service *service, void *app)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(STOP_ARENA_BYTES);
    struct stopping stopping = {.service = service, .app = app};
    int64_t start_us = hf_mono_us();
    int64_t drain_us = (int64_t)service->drain_ms * 1000;

    stopping.ctx.arena = arena;
    stopping.ctx.cancel = &stopping.hurry;
    stopping.ctx.deadline_us = start_us + drain_us;
    struct hf_thread *thread = hf_thread_start("stop", stop_main, &stopping);
    while (!atomic_load(&stopping.is_done)) {
        if (next_signal() != 0) {
            atomic_store(&stopping.hurry.is_set, true);
        }
        HF_CHECK(hf_mono_us() < start_us + drain_us + STOP_GRACE_MS * INT64_C(1000) &&
                 "stopping takes longer than it may");
    }
    hf_thread_join(thread);
}

static struct hf_status confine(const struct svc_service *service, const struct hf_ctx *ctx,
                                const void *config, struct svc_confinement *ret_on)
{
    struct svc_confine_rules rules = {0};
    struct svc_confinement on;

    if (service->confine == NULL) {
        return hf_success();
    }
    HF_TRY(service->confine(ctx->arena, config, &rules));
    HF_TRY(svc_confine(ctx->arena, &rules, &on));
    hf_info(ctx, HF_EVENT("process.confinement"), HF_INT("landlock", on.landlock),
            HF_INT("seccomp", on.has_seccomp));
    *ret_on = on;
    return hf_success();
}

static int run_service(const struct svc_service *service, struct hf_arena *arena,
                       const void *config)
{
    struct hf_cancel stop = {0};
    struct hf_ctx ctx = {.arena = arena, .stop = &stop};
    struct svc_confinement on = {0};
    void *app = NULL;
    struct hf_status status = confine(service, &ctx, config, &on);

    if (hf_is_ok(status)) {
        status = service->start(&ctx, config, &on, &app);
    }

    if (!hf_is_ok(status)) {
        hf_error(&ctx, HF_EVENT("process.start_failed"), HF_TEXT("code", hf_code_name(status.code)),
                 HF_TEXT("reason", status.info == NULL ? "" : status.info->reason),
                 HF_TEXT("message", status.message));
        return 1;
    }
    hf_info(&ctx, HF_EVENT("process.started"), HF_TEXT("version", service->program->version),
            HF_INT("pid", getpid()));
    bool is_asked = wait_for_end(service, &ctx, app);
    atomic_store(&stop.is_set, true);
    stop_service(service, app);
    hf_info(&ctx, HF_EVENT("process.stopped"));
    return is_asked ? 0 : 1;
}

/* For whoever starts the service later. */
static int check(const struct svc_service *service, struct hf_arena *arena, const void *config,
                 struct hf_status status)
{
    struct hf_ctx ctx = {.arena = arena};

    if (hf_is_ok(status) && service->check != NULL) {
        status = service->check(&ctx, config);
    }
    if (hf_is_ok(status)) {
        return 0;
    }
    const char *line = hf_printf(arena, "%s\n", status.message);

    (void)hf_is_ok(hf_write_all(arena, STDERR_FILENO, line, strlen(line), "the output"));
    return 2;
}

static int show(struct hf_arena *arena, const struct svc_program *program, enum svc_wish wish)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, HELP_MAX_BYTES);
    if (wish == SVC_SHOW_HELP) {
        svc_config_help(program, &text);
    } else {
        hf_buf_printf(&text, "%s %s\n", program->name, program->version);
    }
    return hf_is_ok(hf_write_all(arena, STDOUT_FILENO, text.ptr, text.len, "the output")) ? 0 : 1;
}

static enum hf_log_level level_of(const char *name)
{
    static const char *const names[] = {
        [HF_LOG_DEBUG] = "debug",
        [HF_LOG_INFO] = "info",
        [HF_LOG_WARN] = "warn",
        [HF_LOG_ERROR] = "error",
    };
    size_t level = HF_LOG_DEBUG;

    while (level < HF_LOG_ERROR && !hf_text_equal(names[level], name)) {
        level++;
    }
    return (enum hf_log_level)level;
}

int svc_main(const struct svc_service *service, int argc, char *argv[])
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(PROCESS_ARENA_BYTES);
    HF_CLEANUP(hf_heap_free) void *config = hf_heap_alloc(service->config_size);
    struct svc_common common;
    const struct svc_sources sources = {.argc = argc, .argv = (const char *const *)argv};

    block_signals();
    svc_process_prepare();
    (void)umask(077);
    hf_log_setup(HF_LOG_INFO, service->program->name);
    struct hf_status status = svc_config_load(arena, service->program, &sources, config, &common);
    if (common.wish == SVC_CHECK) {
        return check(service, arena, config, status);
    }
    if (!hf_is_ok(status)) {
        hf_error(NULL, HF_EVENT("config.refused"), HF_TEXT("message", status.message));
        return 2;
    }
    if (common.wish != SVC_RUN) {
        return show(arena, service->program, common.wish);
    }
    hf_log_setup(level_of(common.log_level), service->program->name);
    warn_of_little_locked_memory();
    svc_environment_clear();
    return run_service(service, arena, config);
}
