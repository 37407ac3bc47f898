/* What the parts of the backup service share: made by main, handed to handlers and jobs. */
#ifndef HF_BACKUP_APP_H
#define HF_BACKUP_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"
#include "auth/secret.h"
#include "base/ctx.h"
#include "db/db.h"
#include "jobs/worker.h"
#include "objstore/objstore.h"

struct egress;
struct realms;
struct receivers;
struct source_calls;

struct backup_app {
    const char *install_id;
    const char *cache_dir; /* digest caches: <cache_dir>/<cluster id>.digests */
    const char *run_dir;   /* certificates of sources while they are connected to */
    struct egress *egress; /* the gate for all that users name */
    size_t threads;        /* of one backup's pipeline */
    int64_t clusters_max;  /* of all tenants */
    struct db *db;
    struct db *dispatch_db;
    struct jobs *jobs;
    struct objstore *vault;
    struct realms *realms;
    struct secret_key *secrets;
    struct receivers *receivers;
    struct source_calls *source_calls; /* of the API */
    struct hf_cancel stop;
    atomic_bool is_leaving; /* the process ends: it is not ready for more */
};

#endif
