/* Opening a vault without services, and finding a cluster in it by the name that its journal says.
 */
#include "cli/offline.h"

#include <string.h>

#include "base/str.h"
#include "cli/input.h"
#include "vault/kit.h"
#include "vault/marker.h"

#define KEY_TEXT_MAX 4096

struct hf_status offline_check_options(struct cli *cli)
{
    return cli_flag(cli, "vault") == cli_flag(cli, "key-file")
               ? hf_success()
               : cli_usage(cli, "--vault DIR and --key-file FILE belong together");
}

static struct hf_status load_key(struct cli *cli, struct vault_key *ret_key)
{
    const char *path = cli_option(cli, "key-file");
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    if (!input_is_pipe(path)) {
        return vault_key_load(&cli->ctx, path, ret_key);
    }
    hf_buf_init(&text, KEY_TEXT_MAX);
    struct hf_status status = input_file(cli, path, &text);

    if (hf_is_ok(status)) {
        status = vault_key_parse(&cli->ctx, path, &text, ret_key);
    }
    if (text.ptr != NULL) {
        explicit_bzero(text.ptr, text.cap);
    }
    return status;
}

struct hf_status offline_open(struct cli *cli, struct offline *ret_offline)
{
    struct hf_ctx *ctx = &cli->ctx;
    struct offline offline = {0};
    struct vault_marker marker;
    struct vault_key key = {0};

    HF_TRY(offline_check_options(cli));
    HF_TRY(load_key(cli, &key));
    struct hf_status status =
        objstore_local_open(ctx, cli_option(cli, "vault"), false, &offline.store);

    if (hf_is_ok(status)) {
        status = vault_check(ctx, offline.store, &marker);
    }
    if (hf_is_ok(status)) {
        status = vault_key_open(ctx, offline.store, cli->tenant, &key, &offline.keyring);
    }
    explicit_bzero(&key, sizeof(key));
    if (!hf_is_ok(status)) {
        offline_close(&offline);
        return status;
    }
    *ret_offline = offline;
    return hf_success();
}

void offline_close(struct offline *offline)
{
    vault_keyring_free(offline->keyring);
    objstore_free(offline->store);
    *offline = (struct offline){0};
}

static int64_t newest_point(const struct vault_source_state *state)
{
    int64_t newest_us = 0;

    for (size_t i = 0; i < state->points_len; i++) {
        newest_us =
            state->points[i].stop_time_us > newest_us ? state->points[i].stop_time_us : newest_us;
    }
    return newest_us;
}

struct hf_status offline_each(struct cli *cli, const struct offline *offline, offline_source_fn fn,
                              void *arg, struct hf_status *ret_unread)
{
    struct hf_ctx *ctx = &cli->ctx;
    const char **prefixes = NULL;
    size_t len = 0;

    *ret_unread = hf_success();
    HF_TRY(vault_sources_list(ctx, offline->store, cli->tenant, &prefixes, &len));
    for (size_t i = 0; i < len; i++) {
        struct vault_source_state state = {0};

        if (vault_source_id(prefixes[i]) == NULL) {
            continue;
        }
        struct hf_status status =
            vault_journal_read(ctx, offline->store, offline->keyring, prefixes[i], 0, NULL, &state);

        HF_TRY(hf_ctx_check(ctx));
        if (hf_is_ok(status)) {
            fn(cli, arg, prefixes[i], &state);
        } else if (hf_is_ok(*ret_unread)) {
            *ret_unread = hf_wrap(ctx->arena, status, "source %s", prefixes[i]);
        }
    }
    return hf_success();
}

struct find {
    const char *cluster;
    const char *names; /* of all, for the message */
    const char *found;
    int64_t found_us;
    bool is_by_id;
};

static void find_in(struct cli *cli, void *arg, const char *prefix,
                    const struct vault_source_state *state)
{
    struct find *find = arg;

    find->names = hf_printf(cli->ctx.arena, "%s%s%s", find->names == NULL ? "" : find->names,
                            find->names == NULL ? "" : ", ", state->source.name);
    if (hf_text_equal(vault_source_id(prefix), find->cluster)) {
        find->found = prefix;
        find->is_by_id = true;
    } else if (!find->is_by_id && hf_text_equal(state->source.name, find->cluster) &&
               newest_point(state) > find->found_us) {
        find->found = prefix;
        find->found_us = newest_point(state);
    }
}

/* One that cannot be read may be the one that is asked for, and the newer: nothing else is taken in
 * its place unless that is said by its id, which is no name (names begin with a letter). */
struct hf_status offline_find(struct cli *cli, const struct offline *offline, const char *cluster,
                              const char **ret_prefix)
{
    struct find find = {.cluster = cluster, .found_us = -1};
    struct hf_status unread;

    HF_TRY(offline_each(cli, offline, find_in, &find, &unread));
    if (!find.is_by_id && !hf_is_ok(unread)) {
        return find.found == NULL
                   ? unread
                   : hf_wrap(cli->ctx.arena, unread,
                             "another source may be the newer %s (--cluster %s takes the one that "
                             "can be read)",
                             cluster, vault_source_id(find.found));
    }
    if (find.found == NULL) {
        return hf_fail_info(cli->ctx.arena, HF_NOT_FOUND, "CLUSTER_NOT_FOUND", NULL,
                            "the vault has no cluster named %s; it has: %s", cluster,
                            find.names == NULL ? "none" : find.names);
    }
    *ret_prefix = find.found;
    return hf_success();
}
