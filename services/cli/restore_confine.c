/* The second line behind the descriptors of libs/restore. Landlock holds a thread and its children:
 * so gRPC's threads, which run already, keep what they need. The directories are named by their
 * descriptors: a path could lead elsewhere by now. */
#include "cli/restore_confine.h"

struct hf_status restore_confine(void *arg, struct hf_ctx *ctx,
                                 const struct restore_target_dir *dirs, size_t len)
{
    struct restore_confine *confine = arg;
    const char *const read[] = {SVC_CONFINE_SYSTEM, confine->vault, NULL};
    static const char *const linked[] = {SVC_CONFINE_LINKED, NULL};
    const char **write = HF_NEW_N(ctx->arena, const char *, len + 1);

    for (size_t i = 0; i < len; i++) {
        write[i] = hf_printf(ctx->arena, "/proc/self/fd/%d", dirs[i].fd);
    }
    const struct svc_confine_rules rules = {
        .read = read,
        .linked = linked,
        .write = write,
        .has_no_tcp = confine->vault != NULL,
    };

    return svc_confine(ctx->arena, &rules, &confine->confinement);
}
