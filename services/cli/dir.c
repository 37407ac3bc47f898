/* Where an installation is and what its holdfast.yaml says. */
#include "cli/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/out.h"
#include "cli/walk.h"
#include "codec/yaml.h"
#include "svc/config.h"

#define SETTINGS_MAX 65536

struct hf_status dir_absolute(struct hf_ctx *ctx, const char *path, const char **ret_path)
{
    char here[PATH_MAX];

    if (path[0] == '/') {
        *ret_path = path;
        return hf_success();
    }
    if (getcwd(here, sizeof(here)) == NULL) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "the current directory is gone");
    }
    *ret_path = hf_path_join(ctx->arena, here, path);
    return hf_success();
}

/* One name for one directory, whatever links, dots and slashes led to it: running processes are
 * recognised by it. */
static struct hf_status canonical(struct hf_ctx *ctx, const char *path, const char **ret_path)
{
    HF_CLEANUP(walk_done) struct walk walk = {.fd = -1};
    const char *whole = NULL;

    HF_TRY(dir_absolute(ctx, path, &whole));
    HF_TRY(walk_open(ctx, whole, &walk));
    *ret_path = walk.path;
    return hf_success();
}

/* The directory as it was said. */
static struct hf_status choose(struct hf_ctx *ctx, const char *option, const char **ret_dir)
{
    const char *chosen = option != NULL ? option : svc_getenv("HOLDFAST_DIR");

    if (option != NULL && *option == '\0') { /* --dir "$UNSET": never the default one then */
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "--dir must not be empty");
    }
    if (chosen != NULL && *chosen != '\0') {
        *ret_dir = chosen;
        return hf_success();
    }
    if (geteuid() == 0) {
        *ret_dir = "/var/lib/holdfast";
        return hf_success();
    }
    const char *data = svc_getenv("XDG_DATA_HOME");
    const char *home = svc_getenv("HOME");

    if (!hf_text_empty(data)) {
        *ret_dir = hf_path_join(ctx->arena, data, "holdfast");
        return hf_success();
    }
    if (hf_text_empty(home)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "neither --dir, HOLDFAST_DIR nor HOME is set");
    }
    *ret_dir = hf_path_join(ctx->arena, home, ".local/share/holdfast");
    return hf_success();
}

struct hf_status dir_choose(struct hf_ctx *ctx, const char *option, const char **ret_dir)
{
    const char *said = "";

    HF_TRY(choose(ctx, option, &said));
    return canonical(ctx, said, ret_dir);
}

static const char *member(const struct codec_value *value, const char *key)
{
    const char *text = codec_value_text(value, key);

    return text == NULL ? "" : text;
}

struct hf_status dir_read(struct hf_ctx *ctx, const char *dir, const char *name, struct hf_buf *buf)
{
    return hf_read_below(ctx->arena, dir, name, buf);
}

static struct hf_status none_in(struct hf_ctx *ctx, const char *dir)
{
    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "NO_INSTALLATION", NULL,
                        "there is no installation in %s; start one with `holdfast up --dir %s` "
                        "or name another directory with --dir",
                        dir, out_word(ctx->arena, dir));
}

static struct hf_status take_settings(struct hf_ctx *ctx, const char *path,
                                      const struct hf_buf *text, struct dir_settings *ret_settings)
{
    const struct codec_value *value = NULL;

    HF_TRY(codec_yaml_parse(ctx->arena, (struct hf_str){(const char *)text->ptr, text->len}, path,
                            &value));
    *ret_settings = (struct dir_settings){
        .install_id = member(value, "install_id"),
        .client = member(value, "client"),
        .endpoint = member(value, "endpoint"),
        .metrics = member(value, "metrics"),
    };
    if (hf_text_empty(ret_settings->install_id) || hf_text_empty(ret_settings->endpoint)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "%s lacks install_id or endpoint; restore it from a copy", path);
    }
    return hf_success();
}

/* Where a client of this machine finds what listens there: "0.0.0.0:1" is every address of it. ""
 * when nothing can listen there. */
static const char *reachable(struct hf_arena *arena, const char *listen)
{
    static const struct {
        const char *all;
        const char *own;
    } hosts[] = {
        {"0.0.0.0", "127.0.0.1"}, {"*", "127.0.0.1"}, {"", "127.0.0.1"}, {"[::]", "[::1]"}};
    const char *colon = strrchr(listen, ':');
    const char *host = colon == NULL ? "" : hf_strndup(arena, listen, (size_t)(colon - listen));

    uint64_t port = 0;

    if (colon == NULL || !hf_parse_u64(colon + 1, &port) || port > UINT16_MAX) {
        return "";
    }
    for (size_t i = 0; i < HF_LEN(hosts); i++) {
        if (hf_text_equal(host, hosts[i].all)) {
            return hf_printf(arena, "%s%s", hosts[i].own, colon);
        }
    }
    return listen;
}

static const struct codec_value *read_overrides(struct hf_ctx *ctx, const char *dir)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const struct codec_value *value = NULL;

    hf_buf_init(&text, SETTINGS_MAX);
    return hf_is_ok(dir_read(ctx, dir, DIR_OVERRIDES, &text)) &&
                   hf_is_ok(codec_yaml_parse(ctx->arena,
                                             (struct hf_str){(const char *)text.ptr, text.len},
                                             DIR_OVERRIDES, &value)) &&
                   value->kind == CODEC_OBJECT
               ? value
               : NULL;
}

void dir_load_overrides(struct hf_ctx *ctx, const char *dir, struct dir_overrides *ret_overrides)
{
    const struct codec_value *value = read_overrides(ctx, dir);
    struct dir_overrides overrides = {.endpoint = "", .metrics = ""};

    if (value != NULL) {
        overrides.endpoint = reachable(ctx->arena, member(value, "listen"));
        overrides.metrics = reachable(ctx->arena, member(value, "metrics_listen"));
        overrides.log_files = codec_value_int(value, "log_files", 0);
        if (!svc_parse_size(member(value, "log_max_bytes"), &overrides.log_max_bytes)) {
            overrides.log_max_bytes = codec_value_int(value, "log_max_bytes", 0);
        }
    }
    *ret_overrides = overrides;
}

static struct hf_status load(struct hf_ctx *ctx, const char *dir, struct dir_settings *ret_settings)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, SETTINGS_MAX);
    struct hf_status status = dir_read(ctx, dir, DIR_SETTINGS, &text);

    if (status.code == HF_NOT_FOUND) {
        return none_in(ctx, dir);
    }
    HF_TRY(status);
    return take_settings(ctx, hf_path_join(ctx->arena, dir, DIR_SETTINGS), &text, ret_settings);
}

struct hf_status dir_load(struct hf_ctx *ctx, const char *dir, struct dir_settings *ret_settings)
{
    struct dir_overrides overrides;

    HF_TRY(load(ctx, dir, ret_settings));
    if (!hf_text_empty(ret_settings->client)) {
        return hf_success();
    }
    dir_load_overrides(ctx, dir, &overrides);
    if (!hf_text_empty(overrides.endpoint)) {
        ret_settings->endpoint = overrides.endpoint;
    }
    if (!hf_text_empty(overrides.metrics)) {
        ret_settings->metrics = overrides.metrics;
    }
    return hf_success();
}

static struct hf_status refuse_client(struct hf_ctx *ctx, const char *dir,
                                      const struct dir_settings *settings)
{
    return hf_text_empty(settings->client)
               ? hf_success()
               : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, DIR_CLIENT_REASON, NULL,
                              "%s is the directory of client %s, not an installation; name that "
                              "with --dir",
                              dir, settings->client);
}

struct hf_status dir_load_own(struct hf_ctx *ctx, const char *dir,
                              struct dir_settings *ret_settings)
{
    HF_TRY(dir_load(ctx, dir, ret_settings));
    return refuse_client(ctx, dir, ret_settings);
}

struct hf_status dir_load_first(struct hf_ctx *ctx, const char *dir,
                                struct dir_settings *ret_settings)
{
    HF_TRY(load(ctx, dir, ret_settings));
    return refuse_client(ctx, dir, ret_settings);
}

struct hf_status dir_load_at(struct hf_ctx *ctx, int at, const char *dir,
                             struct dir_settings *ret_settings)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const char *path = hf_path_join(ctx->arena, dir, DIR_SETTINGS);
    HF_CLEANUP(hf_close)
    int fd = at < 0 ? -1 : hf_beneath_open(at, DIR_SETTINGS, O_RDONLY | O_NONBLOCK, 0);
    struct stat found;

    if (at < 0 || (fd < 0 && errno == ENOENT)) {
        return none_in(ctx, dir);
    }
    if (fd < 0 || fstat(fd, &found) != 0) {
        return hf_fail_errno(ctx->arena, errno, "opening %s", path);
    }
    if (!S_ISREG(found.st_mode) || found.st_nlink != 1) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "%s is no ordinary file of one name",
                       path);
    }
    hf_buf_init(&text, SETTINGS_MAX);
    HF_TRY(hf_read_open(ctx->arena, fd, path, &text));
    HF_TRY(take_settings(ctx, path, &text, ret_settings));
    ret_settings->uid = found.st_uid;
    return refuse_client(ctx, dir, ret_settings);
}

char *dir_text(struct hf_arena *arena, const struct dir_settings *settings)
{
    return hf_printf(arena,
                     "# Written by `holdfast %s`.\n"
                     "install_id: \"%s\"\n%s%s%sendpoint: \"%s\"\nmetrics: \"%s\"\n",
                     hf_text_empty(settings->client) ? "up" : "certs issue", settings->install_id,
                     hf_text_empty(settings->client) ? "" : "client: \"",
                     hf_text_empty(settings->client) ? "" : settings->client,
                     hf_text_empty(settings->client) ? "" : "\"\n", settings->endpoint,
                     settings->metrics);
}

struct hf_status dir_save(struct hf_ctx *ctx, const char *dir, const struct dir_settings *settings)
{
    const char *text = dir_text(ctx->arena, settings);

    return hf_replace_file(ctx->arena, hf_path_join(ctx->arena, dir, DIR_SETTINGS), text,
                           strlen(text), 0600);
}
