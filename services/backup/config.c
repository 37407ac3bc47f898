/* One row per field of the configuration. */
#include "backup/config.h"

#include "backup/service.h"
#include "base/str.h"
#include "svc/log_files.h"

#define TEXT(member, env_name, flag_name, value, text)                                             \
    {                                                                                              \
        .key = #member, .env = (env_name), .flag = (flag_name), .type = SVC_TEXT,                  \
        .offset = offsetof(struct backup_config, member), .fallback = (value), .help = (text)      \
    }

/* What `holdfast up` relies on: nobody overrides it. */
#define OURS(member, env_name, flag_name, text)                                                    \
    {                                                                                              \
        .key = #member, .env = (env_name), .flag = (flag_name), .type = SVC_TEXT,                  \
        .offset = offsetof(struct backup_config, member), .help = (text), .is_fixed = true         \
    }

/* Networks or directories; never from the environment, which is not the operator's alone. */
#define LIST(member, flag_name, text)                                                              \
    {                                                                                              \
        .key = #member, .flag = (flag_name), .type = SVC_LIST,                                     \
        .offset = offsetof(struct backup_config, member), .max = 16384, .help = (text)             \
    }

static const struct svc_field fields[] = {
    TEXT(listen, "HOLDFAST_BACKUP_LISTEN", "listen", "127.0.0.1:7401", "address of the gRPC API"),
    TEXT(metrics_listen, "HOLDFAST_BACKUP_METRICS_LISTEN", "metrics-listen", NULL,
         "address of /livez, /readyz and /metrics; unset: none"),
    TEXT(metrics_token_file, "HOLDFAST_METRICS_TOKEN_FILE", "metrics-token-file", NULL,
         "file with the token that /metrics wants from peers beyond loopback"),
    OURS(install_id, "HOLDFAST_INSTALL_ID", "install-id",
         "UUID of the installation; peers of others are refused"),
    OURS(tls_ca, "HOLDFAST_TLS_CA", "tls-ca", "trust bundle, PEM file"),
    OURS(tls_cert, "HOLDFAST_TLS_CERT", "tls-cert", "own certificate, PEM file"),
    OURS(tls_key, "HOLDFAST_TLS_KEY", "tls-key", "own private key, PEM file"),
    OURS(database, "HOLDFAST_DATABASE", NULL, "state database, role holdfast_app"),
    OURS(database_dispatch, "HOLDFAST_DATABASE_DISPATCH", NULL,
         "state database, role holdfast_dispatch"),
    OURS(database_migrate, "HOLDFAST_DATABASE_MIGRATE", NULL,
         "state database, role holdfast_migrate; unset: the schema is migrated elsewhere"),
    OURS(redis, "HOLDFAST_REDIS", NULL,
         "Redis, /path/to/socket or host:port; unset: PostgreSQL is swept every 250 ms"),
    OURS(redis_user, "HOLDFAST_REDIS_USER", NULL, "user of Redis; unset: its default one"),
    OURS(redis_password_file, "HOLDFAST_REDIS_PASSWORD_FILE", NULL,
         "file with the password of that user; unset: none is needed"),
    OURS(vault_dir, "HOLDFAST_VAULT_DIR", "vault-dir", "directory of the vault"),
    TEXT(cache_dir, "HOLDFAST_CACHE_DIR", "cache-dir", NULL, "directory of sealed digest caches"),
    OURS(vault_key_file, "HOLDFAST_VAULT_KEY_FILE", "vault-key-file",
         "key-encryption key of the vault"),
    OURS(signing_key_file, "HOLDFAST_SIGNING_KEY_FILE", "signing-key-file",
         "Ed25519 key that signs journals, PEM file"),
    OURS(escrow_key_file, "HOLDFAST_ESCROW_KEY_FILE", "escrow-key-file",
         "public key of the recovery kit; unset: no escrow"),
    OURS(secrets_key_file, "HOLDFAST_SECRETS_KEY_FILE", "secrets-key-file",
         "key that seals passwords of sources"),
    OURS(epoch_file, "HOLDFAST_EPOCH_FILE", "epoch-file",
         "file that remembers the state epoch, apart from the database"),
    TEXT(run_dir, "HOLDFAST_RUN_DIR", "run-dir", NULL,
         "directory for certificates of sources while they are connected to; unset: below "
         "cache_dir"),
    LIST(sources_allowed, "sources-allowed",
         "networks where sources may be; unset: all that are not refused"),
    LIST(sources_denied, "sources-denied", "networks where no source may be"),
    TEXT(sources_local, NULL, "sources-local", "auto",
         "loopback and sockets: auto (for installation admins), on (for all) or off"),
    LIST(sources_socket_dirs, "sources-socket-dirs",
         "directories of sockets of sources; unset: any but our own, for installation admins"),
    {.key = "log_max_bytes",
     .type = SVC_SIZE,
     .offset = offsetof(struct backup_config, log_max_bytes),
     .fallback = HF_NUMBER_TEXT(SVC_LOG_FILE_MIB) "MiB",
     .min = 65536,
     .max = INT64_C(1) << 40,
     .help = "for `holdfast up`: a longer file in log/ is copied and emptied"},
    {.key = "log_files",
     .type = SVC_INT,
     .offset = offsetof(struct backup_config, log_files),
     .fallback = HF_NUMBER_TEXT(SVC_LOG_FILES),
     .min = SVC_LOG_FILES_MIN,
     .max = SVC_LOG_FILES_MAX,
     .help = "for `holdfast up`: files of one server in log/, the one that is written included"},
    {.key = "clusters_max",
     .type = SVC_INT,
     .offset = offsetof(struct backup_config, clusters_max),
     .fallback = "1000",
     .min = 1,
     .max = 100000,
     .help = "clusters of all tenants that are connected to, of one tenant 500 at most; each takes "
             "two threads (TasksMax), a connection and memory; those that there are stay"},
    {.key = "threads",
     .env = "HOLDFAST_THREADS",
     .flag = "threads",
     .type = SVC_INT,
     .offset = offsetof(struct backup_config, threads),
     .fallback = "0",
     .min = 0,
     .max = 256,
     .help = "worker threads of one backup; 0: one per core"},
    {.key = "lease",
     .env = "HOLDFAST_LEASE",
     .flag = "lease",
     .type = SVC_DURATION,
     .offset = offsetof(struct backup_config, lease_us),
     .fallback = "60s",
     .min = 1000000,
     .max = 3600000000,
     .help = "a worker whose beat stands still that long is dead"},
};

const struct svc_program backup_program = {
    .name = "holdfast-backup",
    .summary = "protects PostgreSQL clusters: backups, WAL, verification, restores",
    .version = HF_VERSION,
    .fields = fields,
    .fields_len = sizeof(fields) / sizeof(fields[0]),
};
