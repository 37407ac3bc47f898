/* What libpq is told. Surprise: everything that libpq would otherwise look up in the home directory
 * is named here as a file that does not exist, and dbname is never expanded: a database's name that
 * looks like a connection string stays a name. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pgwire/internal.h"

#define PARAMS_MAX 64
#define NO_FILE "/nonexistent/holdfast"

struct params {
    const char *keys[PARAMS_MAX + 1];
    const char *values[PARAMS_MAX + 1];
    size_t len;
};

/* Of two values the later counts. */
static void put(struct params *params, const char *key, const char *value)
{
    HF_CHECK(params->len < PARAMS_MAX);
    params->keys[params->len] = key;
    params->values[params->len++] = value;
}

/* Where the DSN may overrule. */
static void put_defaults(struct params *params, const struct pgwire_dial *dial)
{
    put(params, "keepalives_idle", "30");
    put(params, "keepalives_interval", "10");
    put(params, "keepalives_count", "3");
    put(params, "tcp_user_timeout", "60000");
    put(params, "sslmode", dial->files->ca != NULL ? "verify-full" : "prefer");
    put(params, "channel_binding", "prefer");
    put(params, "target_session_attrs", "any");
    put(params, "sslcert", NO_FILE);
    put(params, "sslkey", NO_FILE);
    put(params, "sslrootcert", NO_FILE);
    if (pgwire_dsn_setting(dial->dsn, "sslcrldir") == NULL) {
        put(params, "sslcrl", NO_FILE); /* with a directory, a file that is not there voids both */
    }
}

static void put_files(struct params *params, const struct pgwire_files *files)
{
    if (files->ca != NULL) {
        put(params, "sslrootcert", files->ca);
    }
    if (files->cert != NULL) {
        put(params, "sslcert", files->cert);
        put(params, "sslkey", files->key);
    }
    put(params, "passfile", NO_FILE);
    put(params, "gssencmode", "disable");
}

static void put_place(struct hf_ctx *ctx, struct params *params, const struct pgwire_dial *dial)
{
    if (dial->address == NULL) {
        put(params, "host", hf_printf(ctx->arena, "/proc/self/fd/%d", dial->socket_dir_fd));
    } else {
        put(params, "host", dial->host->host);
        put(params, "hostaddr", egress_address_text(ctx->arena, dial->address));
    }
    put(params, "port", dial->host->port);
}

static void put_session(struct params *params, const struct pgwire_options *options)
{
    if (options->password != NULL) {
        put(params, "password", options->password);
    }
    put(params, "application_name",
        options->application_name != NULL ? options->application_name : "holdfast");
    if (options->mode == PGWIRE_REPLICATION) {
        put(params, "replication", "true");
    } else {
        put(params, "client_encoding", "UTF8");
    }
    if (options->mode == PGWIRE_SQL && options->dbname != NULL) {
        put(params, "dbname", options->dbname);
    }
    if (options->is_primary_only) {
        put(params, "target_session_attrs", "primary");
    }
}

PGconn *pgwire_dial_begin(struct hf_ctx *ctx, const struct pgwire_dial *dial)
{
    struct params params = {.len = 0};
    PGconn *pg;

    put_defaults(&params, dial);
    for (size_t i = 0; i < dial->dsn->settings_len && i < PARAMS_MAX / 2; i++) {
        put(&params, dial->dsn->settings[i].key, dial->dsn->settings[i].value);
    }
    put_files(&params, dial->files);
    put_place(ctx, &params, dial);
    put_session(&params, dial->options);
    pg = PQconnectStartParams(params.keys, params.values, 0);
    HF_CHECK(pg != NULL);
    return pg;
}
