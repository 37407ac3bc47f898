/* Where an installation is and what its holdfast.yaml says. */
#include "cli/dir.h"

#include <limits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/yaml.h"
#include "svc/config.h"

#define SETTINGS_MAX 65536

static struct hf_status absolute(struct hf_ctx *ctx, const char *path, const char **ret_path)
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

struct hf_status dir_choose(struct hf_ctx *ctx, const char *option, const char **ret_dir)
{
    const char *chosen = option != NULL ? option : svc_getenv("HOLDFAST_DIR");

    if (!hf_text_empty(chosen)) {
        return absolute(ctx, chosen, ret_dir);
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

static const char *member(const struct codec_value *value, const char *key)
{
    const char *text = codec_value_text(value, key);

    return text == NULL ? "" : text;
}

struct hf_status dir_load(struct hf_ctx *ctx, const char *dir, struct dir_settings *ret_settings)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const struct codec_value *value = NULL;
    const char *path = hf_path_join(ctx->arena, dir, "holdfast.yaml");

    hf_buf_init(&text, SETTINGS_MAX);
    struct hf_status status = hf_read_file(ctx->arena, path, &text);

    if (status.code == HF_NOT_FOUND) {
        return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "NO_INSTALLATION", NULL,
                            "there is no installation in %s; start one with `holdfast up --dir %s` "
                            "or name another directory with --dir",
                            dir, dir);
    }
    HF_TRY(status);
    HF_TRY(codec_yaml_parse(ctx->arena, (struct hf_str){(const char *)text.ptr, text.len}, path,
                            &value));
    *ret_settings = (struct dir_settings){
        .install_id = member(value, "install_id"),
        .user = member(value, "user"),
        .endpoint = member(value, "endpoint"),
        .metrics = member(value, "metrics"),
    };
    if (hf_text_empty(ret_settings->install_id) || hf_text_empty(ret_settings->endpoint)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "%s lacks install_id or endpoint; restore it from a copy", path);
    }
    return hf_success();
}

struct hf_status dir_save(struct hf_ctx *ctx, const char *dir, const struct dir_settings *settings)
{
    const char *text =
        hf_printf(ctx->arena,
                  "# Written by the first `holdfast up`.\n"
                  "install_id: \"%s\"\nuser: \"%s\"\nendpoint: \"%s\"\n"
                  "metrics: \"%s\"\n",
                  settings->install_id, settings->user, settings->endpoint, settings->metrics);

    return hf_replace_file(ctx->arena, hf_path_join(ctx->arena, dir, "holdfast.yaml"), text,
                           hf_str_of(text).len, 0644);
}
