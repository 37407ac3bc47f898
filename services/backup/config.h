/* Configuration of holdfast-backup. */
#ifndef HF_BACKUP_CONFIG_H
#define HF_BACKUP_CONFIG_H

#include <stdint.h>

#include "svc/config.h"

struct backup_config {
    const char *listen;
    const char *metrics_listen;
    const char *metrics_token_file; /* NULL: /metrics for loopback only */
    const char *install_id;
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *database;          /* conninfo of the app role */
    const char *database_dispatch; /* of the dispatch role */
    const char *database_migrate;  /* of the migrate role; NULL: somebody else migrates */
    const char *redis;             /* NULL: sweeps only */
    const char *redis_user;
    const char *redis_password_file;
    const char *vault_dir;
    const char *cache_dir;
    const char *vault_key_file;
    const char *signing_key_file;
    const char *escrow_key_file;
    const char *secrets_key_file;
    const char *epoch_file;
    const char *sources_allowed; /* CIDRs, comma list */
    const char *sources_denied;
    const char *sources_local; /* auto, on, off */
    const char *sources_socket_dirs;
    const char *run_dir;   /* NULL: below cache_dir */
    int64_t log_max_bytes; /* these two are the supervisor's, who reads the same overrides */
    int64_t log_files;
    int64_t clusters_max; /* of all tenants */
    int64_t threads;
    int64_t lease_us;
};

extern const struct svc_program backup_program;

#endif
