/* Where an installation is and what its holdfast.yaml says. */
#include "cli/dir.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
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

/* One name for one directory, whatever links, dots and slashes led to it: running processes are
 * recognised by it. Of a directory that is not there yet the part that is. */
static struct hf_status canonical(struct hf_ctx *ctx, const char *path, const char **ret_path)
{
    const char *whole = NULL;
    char real[PATH_MAX];

    HF_TRY(absolute(ctx, path, &whole));
    char *head = hf_strdup(ctx->arena, whole);
    const char *tail = "";

    while (realpath(*head == '\0' ? "/" : head, real) == NULL) {
        char *slash = strrchr(head, '/');

        if (errno != ENOENT || slash == NULL) {
            return hf_fail_errno(ctx->arena, errno, "looking for %s", path);
        }
        tail = hf_path_join(ctx->arena, slash + 1, tail);
        *slash = '\0';
    }
    char *found = hf_path_join(ctx->arena, real, tail);

    for (size_t len = strlen(found); len > 1 && found[len - 1] == '/'; len--) {
        found[len - 1] = '\0';
    }
    *ret_path = found;
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
