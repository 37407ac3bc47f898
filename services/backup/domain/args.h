/* The arguments of a job as stored: written by the handler that adds it, read by its worker. Pure.
 */
#ifndef HF_BACKUP_DOMAIN_ARGS_H
#define HF_BACKUP_DOMAIN_ARGS_H

#include "base/arena.h"

struct args {
    const char *cluster_id; /* "": the job concerns no single cluster */
    const char *backup_id;  /* "": no single backup */
    bool accept_rollback;   /* of a rebuild */
};

/* "<cluster id> <backup id>", then " accept-rollback" */
char *args_encode(struct hf_arena *arena, const struct args *args);
/* What is missing in the text is "". */
struct args args_decode(struct hf_arena *arena, const char *text);

#endif
