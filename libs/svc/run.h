/* Frame of a service process: from the first line of main to its exit code.
 *
 *   static const struct svc_service service = {
 *       .program = &backup_program,
 *       .config_size = sizeof(struct backup_config),
 *       .confine = backup_confine,
 *       .start = backup_start, .is_alive = backup_is_alive, .stop = backup_stop,
 *       .drain_ms = 25000,
 *   };
 *   int main(int argc, char *argv[])
 *   {
 *       return svc_main(&service, argc, argv);
 *   }
 *
 * What it does before any thread exists: blocks all signals (SIGPIPE is never delivered; SIGTERM
 * and SIGINT are taken by sigtimedwait in main), raises RLIMIT_NOFILE (at most 65536) and
 * RLIMIT_MEMLOCK (64 MiB, for keys) to their hard limits, forbids core files and ptrace by
 * strangers (keys are in memory), keeps the allocator to two arenas (a service has tens of threads,
 * each would keep its own pages), and confines the process; a line `process.confinement` says what
 * the kernel had for it.
 */
#ifndef HF_SVC_RUN_H
#define HF_SVC_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/status.h"
#include "svc/config.h"
#include "svc/confine.h"

struct svc_service {
    const struct svc_program *program;
    size_t config_size;
    /* NULL, or what start would refuse of the configuration itself; parts that are missing are no
     * fault here. Asked with --check, which has nothing else done. */
    struct hf_status (*check)(struct hf_ctx *ctx, const void *config);
    /* NULL: not confined. What start and all after it may touch (see svc/confine.h); asked when
     * the configuration is read. Texts live in arena, of the process's life. */
    struct hf_status (*confine)(struct hf_arena *arena, const void *config,
                                struct svc_confine_rules *ret_rules);
    /* Start all parts and return. confined is what holds this process. ctx->stop is the drain flag,
     * set on the first SIGTERM or SIGINT; it, ctx->arena (64 MiB, of the process's life) and config
     * live until stop has returned. *ret_app is given to the others. After a failure start has
     * freed what it made. */
    struct hf_status (*start)(struct hf_ctx *ctx, const void *config,
                              const struct svc_confinement *confined, void **ret_app);
    /* NULL, or asked about every 200 ms in the main thread: false ends the process as after
     * SIGTERM, with exit code 1 (a part that cannot be repaired inside). */
    bool (*is_alive)(void *app);
    /* Drain and free everything. ctx->deadline_us is drain_ms from now; a second signal sets
     * ctx->cancel: end at once. ctx->stop is NULL here, so that draining may still do its work. */
    void (*stop)(struct hf_ctx *ctx, void *app);
    int drain_ms;
};

/* Returns the exit code: 0 after a signal, --help or --version; 1 when confine or start failed or
 * is_alive said false; 2 for a bad configuration. Failures go to stderr as log lines, with --check
 * as a sentence; --help and --version go to stdout. */
int svc_main(const struct svc_service *service, int argc, char *argv[]);

/* The preparation alone, for programs that are no services (the command line): signals are not
 * blocked. */
void svc_process_prepare(void);

#endif
