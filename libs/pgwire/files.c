/* Certificates of a source for libpq, which takes paths only: a new directory 0700 with files 0600
 * that lives as long as connecting takes. What a killed process left is removed with run_dir at the
 * next start. run_dir is made again when somebody removed it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "pgwire/internal.h"

static const char *const names[] = {"ca.crt", "tls.crt", "tls.key"};

static struct hf_status write_one(struct hf_ctx *ctx, int dir_fd, const char *name,
                                  const char *text)
{
    HF_CLEANUP(hf_close)
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "making a file for the source's certificates");
    }
    return hf_write_all(ctx->arena, fd, text, strlen(text), name);
}

static struct hf_status fill(struct hf_ctx *ctx, const struct pgwire_access *access,
                             struct pgwire_files *files)
{
    const char *const texts[] = {access->ca_pem, access->cert_pem, access->key_pem};
    const char **paths[] = {&files->ca, &files->cert, &files->key};
    HF_CLEANUP(hf_close)
    int dir_fd = open(files->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (dir_fd < 0) {
        return hf_fail_errno(ctx->arena, errno, "opening the directory for certificates");
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!hf_text_empty(texts[i])) {
            HF_TRY(write_one(ctx, dir_fd, names[i], texts[i]));
            *paths[i] = hf_path_join(files->arena, files->dir, names[i]);
        }
    }
    return hf_success();
}

static struct hf_status make_dir(struct hf_ctx *ctx, const char *run_dir, const char **ret_dir)
{
    char *dir = hf_path_join(ctx->arena, run_dir, "source-XXXXXX");
    bool is_made = mkdtemp(dir) != NULL;

    if (!is_made && errno == ENOENT) {
        HF_TRY(hf_make_dirs(ctx->arena, run_dir, 0700));
        dir = hf_path_join(ctx->arena, run_dir, "source-XXXXXX");
        is_made = mkdtemp(dir) != NULL;
    }
    if (!is_made) {
        return hf_fail_errno(ctx->arena, errno, "making a directory below %s", run_dir);
    }
    *ret_dir = dir;
    return hf_success();
}

struct hf_status pgwire_files_make(struct hf_ctx *ctx, const struct pgwire_access *access,
                                   struct pgwire_files *ret_files)
{
    *ret_files = (struct pgwire_files){.arena = ctx->arena};
    if (hf_text_empty(access->ca_pem) && hf_text_empty(access->cert_pem)) {
        return hf_success();
    }
    if (access->run_dir == NULL) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "no directory for certificates of sources is configured");
    }
    HF_TRY(make_dir(ctx, access->run_dir, &ret_files->dir));
    return fill(ctx, access, ret_files);
}

void pgwire_files_remove_cleanup(struct pgwire_files *files)
{
    if (files->dir == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlink(hf_path_join(files->arena, files->dir, names[i]));
    }
    (void)rmdir(files->dir);
    files->dir = NULL;
}
