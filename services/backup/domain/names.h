/* Resource names: tenants/{tenant}/clusters/{cluster}/{backups,restores}/{id},
 * tenants/{t}/jobs/{id}. Pure. */
#ifndef HF_BACKUP_DOMAIN_NAMES_H
#define HF_BACKUP_DOMAIN_NAMES_H

#include "base/arena.h"
#include "base/status.h"

struct resource_name {
    const char *tenant;
    const char *cluster; /* NULL below a tenant only; "-" where a list spans clusters */
    const char *id;      /* of the backup, restore or job; NULL for a cluster or tenant */
};

enum name_shape { NAME_TENANT, NAME_CLUSTER, NAME_BACKUP, NAME_RESTORE, NAME_JOB };

/* INVALID_ARGUMENT reason INVALID_NAME, saying which form was expected in which field. */
struct hf_status name_parse(struct hf_arena *arena, const char *field, const char *text,
                            enum name_shape shape, struct resource_name *ret_name) HF_MUST_USE;

char *name_cluster(struct hf_arena *arena, const char *tenant, const char *cluster);
char *name_backup(struct hf_arena *arena, const char *tenant, const char *cluster, const char *id);
char *name_restore(struct hf_arena *arena, const char *tenant, const char *cluster, const char *id);
char *name_job(struct hf_arena *arena, const char *tenant, const char *id);

#endif
