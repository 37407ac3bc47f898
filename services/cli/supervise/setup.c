/* What the first `up` makes, each piece by itself and only when it is missing: a first run that was
 * cut off is finished by the next. holdfast.yaml comes last and says that everything before it is
 * there. One `up` at a time makes things; the next finds them made. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/operator.h"
#include "auth/pki.h"
#include "auth/secret.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/supervise/kit.h"
#include "cli/supervise/lock.h"
#include "cli/supervise/place.h"
#include "cli/supervise/servers.h"
#include "cli/supervise/spawn.h"
#include "vault/kit.h"
#include "vault/marker.h"

#define EPOCH_FILE "state/epoch"
#define CA_DAYS 3650
#define SERVICE_HOURS 24
#define SERVICE_RENEW_HOURS 8
#define CLIENT_DAYS 90
#define CLIENT_RENEW_DAYS 30
#define SETUP_MS 180000 /* another `up` makes the same things now */
#define PORT_FIRST 7401
#define PORT_LAST 32000

/* --- directories ---------------------------------------------------------------------------- */

static struct hf_status make_dir(struct hf_ctx *ctx, const char *path)
{
    HF_TRY(hf_make_dirs(ctx->arena, path, 0700));
    return chmod(path, 0700) == 0
               ? hf_success()
               : hf_fail_errno(ctx->arena, errno, "setting the mode of %s", path);
}

/* The service makes its epoch and its vault in the same first start; an earlier release kept the
 * epoch beside the keys. */
static bool had_vault(struct hf_arena *arena, const struct place *place)
{
    return hf_path_exists(hf_path_join(arena, place->dir, EPOCH_FILE)) ||
           hf_path_exists(hf_path_join(arena, place->keys, "epoch"));
}

static struct hf_status make_dirs(struct hf_ctx *ctx, const struct place *place)
{
    static const char *const names[] = {"run", "log", "vault", "keys", "pki", "cache", "state"};

    HF_TRY(make_dir(ctx, place->dir));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (hf_text_equal(names[i], "vault") && had_vault(ctx->arena, place)) {
            continue; /* there was a vault: check_vault says that it is missing */
        }
        HF_TRY(make_dir(ctx, hf_path_join(ctx->arena, place->dir, names[i])));
    }
    return hf_success();
}

/* --- ports ---------------------------------------------------------------------------------- */

static bool is_port_free(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return false;
    }
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_free = bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0;

    close(fd);
    return is_free;
}

/* Two neighbours, below the range that the kernel gives to clients. */
static struct hf_status choose_ports(struct hf_ctx *ctx, int64_t wanted, uint16_t *ret_port)
{
    uint16_t random = 0;

    if (wanted > 0) {
        *ret_port = (uint16_t)wanted;
        return is_port_free(*ret_port) && is_port_free((uint16_t)(*ret_port + 1))
                   ? hf_success()
                   : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "PORT_TAKEN", NULL,
                                  "port %u or %u is taken; choose another --port",
                                  (unsigned)*ret_port, (unsigned)*ret_port + 1);
    }
    hf_random(&random, sizeof(random));
    for (int tries = 0; tries < 200; tries++) {
        uint16_t port =
            (uint16_t)(PORT_FIRST + (random + tries * 101) % (PORT_LAST - PORT_FIRST - 1));

        if (is_port_free(port) && is_port_free((uint16_t)(port + 1))) {
            *ret_port = port;
            return hf_success();
        }
    }
    return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "no free port between %d and %d", PORT_FIRST,
                   PORT_LAST);
}

/* --- keys ----------------------------------------------------------------------------------- */

static struct hf_status make_key(struct hf_ctx *ctx, const struct place *place, const char *name,
                                 struct hf_status (*make)(struct hf_ctx *ctx, const char *path))
{
    const char *path = hf_path_join(ctx->arena, place->keys, name);

    return hf_path_exists(path) ? hf_success() : make(ctx, path);
}

/* A new key beside an old vault would only hide that the vault cannot be opened. */
static struct hf_status check_vault_key(struct hf_ctx *ctx, const struct place *place)
{
    const char *key = hf_path_join(ctx->arena, place->keys, "vault.key");
    const char *const metadata[] = {"key", key, NULL};

    if (hf_path_exists(key) ||
        !hf_path_exists(hf_path_join(ctx->arena, place->dir, "vault/" VAULT_MARKER_NAME))) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "KEY_MISSING", metadata,
                        "%s/vault has backups, but its key %s is missing; put it back from a "
                        "copy, or the recovery kit in its place",
                        place->dir, key);
}

/* A key that is gone is never made anew: what it sealed would stay sealed, and the new one would be
 * mistaken for it. */
static struct hf_status check_keys(struct hf_ctx *ctx, const struct place *place)
{
    static const char *const names[] = {"vault.key", "signing.key", "secrets.key", "escrow.pub"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = hf_path_join(ctx->arena, place->keys, names[i]);

        if (!hf_path_exists(path)) {
            const char *const metadata[] = {"file", path, NULL};

            return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "KEY_MISSING", metadata,
                                "%s is missing; put it back from a copy%s, then repeat `holdfast "
                                "up`",
                                path, i == 0 ? ", or the recovery kit in its place" : "");
        }
    }
    return hf_success();
}

static struct hf_status judge_vault_key(struct hf_ctx *ctx, const char *path)
{
    struct vault_key key;
    struct hf_status status = vault_key_load(ctx, path, &key); /* a kit, too: kit_take */

    explicit_bzero(&key, sizeof(key));
    return status;
}

static struct hf_status judge_secret_key(struct hf_ctx *ctx, const char *path)
{
    HF_CLEANUP(secret_key_free) struct secret_key *key = NULL;

    return secret_key_load(ctx, path, &key);
}

/* Keys of another place come with a mode and an owner of their own: the service would only say in
 * its log why it does not start. Before anything is made beside them. */
static struct hf_status judge_keys(struct hf_ctx *ctx, const struct place *place)
{
    static const struct {
        const char *name;
        struct hf_status (*judge)(struct hf_ctx *ctx, const char *path);
    } keys[] = {{"vault.key", judge_vault_key}, {"secrets.key", judge_secret_key}};

    for (size_t i = 0; i < HF_LEN(keys); i++) {
        const char *path = hf_path_join(ctx->arena, place->keys, keys[i].name);
        const char *const metadata[] = {"file", path, NULL};
        struct hf_status status = keys[i].judge(ctx, path);

        if (!hf_is_ok(status) && status.code != HF_NOT_FOUND) {
            return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "KEY_REFUSED", metadata,
                                "%s; no service starts with it", status.message);
        }
    }
    return hf_success();
}

/* An empty directory where a vault was is a disk that is not mounted: the service would begin a new
 * vault in it. UNAVAILABLE: a disk that comes late mends it without anybody, so that systemd tries
 * again. */
static struct hf_status check_vault(struct hf_ctx *ctx, const struct place *place)
{
    const char *vault = hf_path_join(ctx->arena, place->dir, "vault");

    if (hf_path_exists(hf_path_join(ctx->arena, vault, VAULT_MARKER_NAME)) ||
        !had_vault(ctx->arena, place)) {
        return hf_success();
    }
    const char *const metadata[] = {"directory", vault, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "VAULT_MISSING", metadata,
                        "there is no vault in %s: is its disk mounted? A vault that is lost for "
                        "good is not replaced by an empty one: start another --dir then",
                        vault);
}

/* What scrapers from elsewhere bring; not a key: when it is lost a new one is as good. */
static struct hf_status make_metrics_token(struct hf_ctx *ctx, const char *path)
{
    uint8_t bytes[32];

    hf_random(bytes, sizeof(bytes));
    char *text = hf_printf(ctx->arena, "%s\n", hf_hex(ctx->arena, bytes, sizeof(bytes)));

    explicit_bzero(bytes, sizeof(bytes));
    return hf_create_file(ctx->arena, path, text, strlen(text), 0600);
}

static struct hf_status make_keys(struct hf_ctx *ctx, const struct place *place)
{
    HF_TRY(check_vault_key(ctx, place));
    HF_TRY(judge_keys(ctx, place));
    HF_TRY(kit_take(ctx, place));
    HF_TRY(make_key(ctx, place, "vault.key", vault_kek_make));
    HF_TRY(make_key(ctx, place, "signing.key", vault_signing_key_make));
    HF_TRY(make_key(ctx, place, "secrets.key", secret_key_create));
    HF_TRY(make_key(ctx, place, "metrics.token", make_metrics_token));
    HF_TRY(make_key(ctx, place, "redis.pass", secret_key_create));
    return kit_make(ctx, place);
}

/* --- certificates --------------------------------------------------------------------------- */

/* Missing, ending soon, of another CA, or of a time that a wrong clock took for now. */
static bool is_to_renew(struct hf_ctx *ctx, const struct place *place, const char *dir,
                        int64_t left_s)
{
    const char *crt = hf_path_join(ctx->arena, dir, "tls.crt");
    const char *ca = hf_path_join(ctx->arena, place->pki, "ca/ca.crt");
    struct pki_facts facts;

    return !pki_key_fits(ctx, crt, hf_path_join(ctx->arena, dir, "tls.key")) ||
           !hf_is_ok(pki_read(ctx, crt, &facts)) ||
           facts.not_after_us < hf_now_us() + left_s * HF_US_PER_S ||
           !hf_is_ok(pki_verify(ctx, crt, ca, 0));
}

static struct hf_status issue(struct hf_ctx *ctx, const struct place *place, bool is_server,
                              const char *name)
{
    const char *out = hf_path_join(ctx->arena, place->pki, name);
    int64_t left_s =
        is_server ? SERVICE_RENEW_HOURS * INT64_C(3600) : CLIENT_RENEW_DAYS * PKI_DAY_S;
    const struct pki_request request = {
        .ca_dir = hf_path_join(ctx->arena, place->pki, "ca"),
        .out_dir = out,
        .install_id = place->settings.install_id,
        .kind = is_server ? "service" : "client",
        .name = name,
        .is_server = is_server,
        .validity_s = is_server ? SERVICE_HOURS * INT64_C(3600) : CLIENT_DAYS * PKI_DAY_S,
    };

    return is_to_renew(ctx, place, out, left_s) ? pki_issue(ctx, &request) : hf_success();
}

static struct hf_status make_certificates(struct hf_ctx *ctx, const struct place *place)
{
    HF_TRY(issue(ctx, place, true, "backup"));
    return issue(ctx, place, false, AUTH_LOCAL_NAME);
}

static struct hf_status make_pki(struct hf_ctx *ctx, const struct place *place)
{
    const char *ca = hf_path_join(ctx->arena, place->pki, "ca");

    if (!hf_path_exists(hf_path_join(ctx->arena, ca, "ca.key"))) {
        HF_TRY(pki_ca_create(ctx, ca, place->settings.install_id, CA_DAYS * PKI_DAY_S));
    }
    return make_certificates(ctx, place);
}

/* --- PostgreSQL, configuration --------------------------------------------------------------- */

static struct hf_status make_database(struct hf_ctx *ctx, const struct place *place)
{
    const char *partial = hf_printf(ctx->arena, "%s.new", place->pg);
    const char *const argv[] = {hf_path_join(ctx->arena, place->pg_bin, "initdb"),
                                "-D",
                                partial,
                                "-U",
                                "holdfast_super",
                                "-A",
                                "reject",
                                "-k",
                                "-E",
                                "UTF8",
                                "--locale=C",
                                NULL};

    if (hf_path_exists(place->pg)) {
        return hf_success();
    }
    HF_TRY(hf_remove_tree(ctx->arena, partial));
    HF_TRY(make_dir(ctx, partial));
    const struct spawn_job job = {
        .argv = argv, .log_name = "initdb.log", .input = -1, .seconds = 120};

    HF_TRY(spawn_wait(ctx, place, &job));
    if (rename(partial, place->pg) != 0) {
        return hf_fail_errno(ctx->arena, errno, "renaming %s", partial);
    }
    return hf_fsync_dir(ctx->arena, place->dir);
}

static struct hf_status write_config(struct hf_ctx *ctx, const struct place *place)
{
    struct hf_arena *arena = ctx->arena;
    const char *path = hf_path_join(arena, place->dir, "backup.yaml");
    const char *text = hf_printf(
        arena,
        "# Written by `holdfast up`; holdfast-backup --help explains each key.\n"
        "listen: \"%s\"\nmetrics_listen: \"%s\"\nmetrics_token_file: \"%s/metrics.token\"\n"
        "install_id: \"%s\"\n"
        "tls_ca: \"%s/backup/ca.crt\"\ntls_cert: \"%s/backup/tls.crt\"\n"
        "tls_key: \"%s/backup/tls.key\"\n"
        "database: \"%s\"\ndatabase_dispatch: \"%s\"\ndatabase_migrate: \"%s\"\n"
        "redis: \"%s\"\nredis_user: \"" SERVERS_REDIS_USER "\"\n"
        "redis_password_file: \"%s\"\nvault_dir: \"%s/vault\"\ncache_dir: \"%s/cache\"\n"
        "vault_key_file: \"%s/vault.key\"\nsigning_key_file: \"%s/signing.key\"\n"
        "escrow_key_file: \"%s/escrow.pub\"\nsecrets_key_file: \"%s/secrets.key\"\n"
        "epoch_file: \"%s/" EPOCH_FILE "\"\n"
        "overrides_file: \"%s/overrides.yaml\"\n",
        place->settings.endpoint, place->settings.metrics, place->keys, place->settings.install_id,
        place->pki, place->pki, place->pki,
        place_conninfo(arena, place, "holdfast_app", "holdfast"),
        place_conninfo(arena, place, "holdfast_dispatch", "holdfast"),
        place_conninfo(arena, place, "holdfast_migrate", "holdfast"), place->redis_socket,
        place->redis_pass, place->dir, place->dir, place->keys, place->keys, place->keys,
        place->keys, place->dir, place->dir);

    return hf_replace_file(arena, path, text, strlen(text), 0600);
}

static struct hf_status choose_settings(struct hf_ctx *ctx, struct place *place, int64_t wanted)
{
    uint16_t port = 0;

    HF_TRY(choose_ports(ctx, wanted, &port));
    place->settings = (struct dir_settings){
        .install_id = hf_uuid_new_text(ctx->arena, hf_now_us()),
        .endpoint = hf_printf(ctx->arena, "127.0.0.1:%u", (unsigned)port),
        .metrics = hf_printf(ctx->arena, "127.0.0.1:%u", (unsigned)port + 1),
    };
    return hf_success();
}

static struct hf_status make_all(struct hf_ctx *ctx, struct place *place, int64_t port, bool is_new)
{
    if (is_new) {
        /* A first run that was cut off has keys, but no name yet: its CA would not fit a new one.
         */
        HF_TRY(hf_remove_tree(ctx->arena, hf_path_join(ctx->arena, place->pki, "ca")));
        HF_TRY(choose_settings(ctx, place, port));
    } else {
        HF_TRY(dir_load_first(ctx, place->dir, &place->settings));
        HF_TRY(check_keys(ctx, place));
        HF_TRY(check_vault(ctx, place));
    }
    HF_TRY(make_keys(ctx, place));
    HF_TRY(make_pki(ctx, place));
    HF_TRY(make_database(ctx, place));
    HF_TRY(servers_write_redis(ctx, place));
    HF_TRY(write_config(ctx, place));
    return is_new ? dir_save(ctx, place->dir, &place->settings) : hf_success();
}

static struct hf_status take_lock(struct hf_ctx *ctx, const struct place *place, int wait_ms,
                                  int *ret_lock)
{
    return lock_take(ctx, hf_path_join(ctx->arena, place->run, "setup.lock"), wait_ms, ret_lock);
}

struct hf_status setup_take_lock(struct hf_ctx *ctx, const struct place *place, int *ret_lock)
{
    return take_lock(ctx, place, SETUP_MS, ret_lock);
}

struct hf_status setup_renew(struct hf_ctx *ctx, const struct place *place)
{
    HF_CLEANUP(hf_close) int lock = -1;

    HF_TRY(take_lock(ctx, place, 0, &lock));
    return make_certificates(ctx, place);
}

struct hf_status setup_run(struct hf_ctx *ctx, struct place *place, int64_t port, bool *ret_is_new)
{
    HF_CLEANUP(hf_close) int lock = -1;

    HF_TRY(place_check_path(ctx, place->dir));
    HF_TRY(make_dirs(ctx, place));
    HF_TRY(setup_take_lock(ctx, place, &lock));
    *ret_is_new = !hf_path_exists(hf_path_join(ctx->arena, place->dir, "holdfast.yaml"));
    return make_all(ctx, place, port, *ret_is_new);
}
