/* Files of PostgreSQL and Redis. Programs are not among what they may read, so that the loader,
 * which they need to be started at all, starts no other. */
#include "cli/supervise/sandbox.h"

#include "base/fd.h"

#define SERVER_FILES                                                                               \
    "/usr/lib", "/usr/share", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system/cpu",        \
        "/sys/kernel/mm/transparent_hugepage", "/dev/urandom", "/dev/random", "/dev/zero"

struct hf_status sandbox_make(struct hf_ctx *ctx, const struct place *place, enum child_id id,
                              const char *program, struct svc_confine_plan **ret_plan)
{
    const char *const read[] = {
        SERVER_FILES, id == CHILD_REDIS ? hf_path_join(ctx->arena, place->dir, "redis.conf") : NULL,
        NULL};
    static const char *const linked[] = {SVC_CONFINE_LINKED, NULL};
    const char *const programs[] = {program, SVC_CONFINE_LOADER, NULL};
    const char *const of_postgres[] = {place->pg, place->run, "/dev/shm", NULL};
    const char *const of_redis[] = {place->run, NULL};
    struct svc_confine_rules rules = {
        .read = read, .linked = linked, .execute = programs, .has_no_tcp = true};

    switch (id) {
    case CHILD_POSTGRES:
        rules.write = of_postgres;
        break;
    case CHILD_REDIS:
        rules.write = of_redis;
        break;
    case CHILD_BACKUP:
    case CHILDREN:
        return hf_success();
    }
    return svc_confine_make(ctx->arena, &rules, ret_plan);
}
