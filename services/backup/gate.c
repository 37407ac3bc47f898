/* What is ours: the API, the metrics, the state database, Redis, each as an address and port or as
 * a directory of sockets. */
#include "backup/gate.h"

#include <string.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "egress/egress.h"
#include "pgwire/dsn.h"

#define OWN_MAX 100

struct own {
    struct egress_endpoint list[OWN_MAX];
    size_t len;
};

static void own_add(struct own *own, const char *host, uint16_t port)
{
    HF_CHECK(own->len < OWN_MAX);
    own->list[own->len++] = (struct egress_endpoint){host, port};
}

/* "host:port", "[::1]:port", "*:port"; anything else is no listener. */
static void own_add_address(struct hf_arena *arena, struct own *own, const char *address)
{
    const char *colon = address != NULL ? strrchr(address, ':') : NULL;
    uint64_t port = 0;

    if (colon == NULL || !hf_parse_u64(colon + 1, &port) || port > UINT16_MAX) {
        return;
    }
    size_t len = (size_t)(colon - address);

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        own_add(own, hf_strndup(arena, address + 1, len - 2), (uint16_t)port);
    } else {
        own_add(own, hf_strndup(arena, address, len), (uint16_t)port);
    }
}

static void own_add_dir(struct hf_arena *arena, struct own *own, const char *path)
{
    const char *slash = strrchr(path, '/');

    own_add(own, slash == path ? "/" : hf_strndup(arena, path, (size_t)(slash - path)), 0);
}

static struct hf_status own_add_database(struct hf_ctx *ctx, struct own *own, const char *conninfo)
{
    struct pgwire_dsn dsn;
    uint64_t port = 0;

    if (hf_text_empty(conninfo)) {
        return hf_success();
    }
    HF_TRY(hf_wrap(ctx->arena, pgwire_dsn_listeners(ctx->arena, conninfo, &dsn),
                   "reading the state database's connection string"));
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        const char *host = dsn.hosts[i].host;

        HF_CHECK(hf_parse_u64(dsn.hosts[i].port, &port));
        if (*host != '\0' && *host != '@') {
            own_add(own, host, (uint16_t)port);
        }
        if (dsn.hosts[i].address[0] != '\0') {
            own_add(own, dsn.hosts[i].address, (uint16_t)port);
        }
    }
    return hf_success();
}

static struct hf_status own_find(struct hf_ctx *ctx, const struct backup_config *config,
                                 struct own *own)
{
    own_add_address(ctx->arena, own, config->listen);
    own_add_address(ctx->arena, own, config->metrics_listen);
    if (!hf_text_empty(config->redis) && config->redis[0] == '/') {
        own_add_dir(ctx->arena, own, config->redis);
    } else {
        own_add_address(ctx->arena, own, config->redis);
    }
    HF_TRY(own_add_database(ctx, own, config->database));
    HF_TRY(own_add_database(ctx, own, config->database_dispatch));
    return own_add_database(ctx, own, config->database_migrate);
}

static struct hf_status run_dir_make(struct hf_ctx *ctx, const struct backup_config *config,
                                     struct backup_app *app)
{
    app->run_dir = hf_path_join(
        ctx->arena, hf_text_empty(config->run_dir) ? config->cache_dir : config->run_dir,
        "connect");
    HF_TRY(hf_remove_tree(ctx->arena, app->run_dir));
    return hf_make_dirs(ctx->arena, app->run_dir, 0700);
}

static struct hf_status egress_open(struct hf_ctx *ctx, const struct backup_config *config,
                                    struct egress **ret_egress)
{
    struct own *own = HF_NEW(ctx->arena, struct own);
    struct egress_options options = {
        .prefix = "sources",
        .allowed = config->sources_allowed,
        .denied = config->sources_denied,
        .socket_dirs = config->sources_socket_dirs,
        .own = own->list,
    };

    if (!egress_local_parse(config->sources_local, &options.local)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "sources_local must be auto, on or off, not %s", config->sources_local);
    }
    HF_TRY(own_find(ctx, config, own));
    options.own_len = own->len;
    return egress_new(ctx, &options, ret_egress);
}

struct hf_status gate_check(struct hf_ctx *ctx, const struct backup_config *config)
{
    HF_CLEANUP(egress_free) struct egress *egress = NULL;

    return egress_open(ctx, config, &egress);
}

struct hf_status gate_open(struct hf_ctx *ctx, const struct backup_config *config,
                           struct backup_app *app)
{
    HF_TRY(egress_open(ctx, config, &app->egress));
    return run_dir_make(ctx, config, app);
}
