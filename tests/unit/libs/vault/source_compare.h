/* What extraction of a synthetic source writes, compared with it byte for byte. */
#ifndef TESTS_SOURCE_COMPARE_H
#define TESTS_SOURCE_COMPARE_H

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>

#include "tests/unit/libs/vault/source_fixture.h"
#include "vault/extract.h"

/* Where extraction goes. */
struct sink_place {
    const char *dir;
    int fd; /* of it */
};

static inline struct hf_status sink_dir(struct hf_ctx *ctx, void *arg,
                                        const struct vault_attrs *attrs)
{
    const struct sink_place *place = arg;

    return hf_make_dirs(ctx->arena, hf_path_join(ctx->arena, place->dir, attrs->path), 0700);
}

static inline struct hf_status sink_symlink(struct hf_ctx *ctx, void *arg,
                                            const struct vault_attrs *attrs)
{
    const struct sink_place *place = arg;

    if (symlinkat(attrs->link, place->fd, attrs->path) != 0) {
        return hf_fail(ctx->arena, HF_INTERNAL, "symlink %s", attrs->path);
    }
    return hf_success();
}

static inline struct hf_status sink_file(struct hf_ctx *ctx, void *arg,
                                         const struct vault_attrs *attrs,
                                         struct vault_extract_file *ret_file)
{
    const struct sink_place *place = arg;
    const char *path = hf_path_join(ctx->arena, place->dir, attrs->path);

    ret_file->action = VAULT_EXTRACT_CREATE;
    ret_file->dir = place->fd;
    ret_file->path = hf_strdup(ctx->arena, attrs->path);
    return hf_make_dirs(ctx->arena, dirname(hf_strdup(ctx->arena, path)), 0700);
}

static inline struct hf_status source_extract(struct source *s, const struct vault_root *root,
                                              const char *dir)
{
    struct hf_status made = hf_make_dirs(s->f->ctx.arena, dir, 0700);
    HF_CLEANUP(hf_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sink_place place = {dir, fd};
    const struct vault_extract_sink sink = {
        .arg = &place, .dir = sink_dir, .symlink = sink_symlink, .file = sink_file};
    const struct vault_extract_options options = {
        .place = source_place(s->f), .root = root, .sink = &sink, .threads = 2};

    assert_true(hf_is_ok(made) && fd >= 0);
    return vault_extract(&s->f->ctx, &options);
}

static inline void source_compare_file(struct source *s, const struct source_file *file,
                                       const char *dir)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const char *path = hf_path_join(s->f->ctx.arena, dir, file->path);
    struct stat st;

    if (file->node == VAULT_NODE_GONE) {
        assert_int_equal(lstat(path, &st), -1);
        return;
    }
    assert_int_equal(lstat(path, &st), 0);
    if (file->node == VAULT_NODE_DIR) {
        assert_true(S_ISDIR(st.st_mode));
        return;
    }
    if (file->node == VAULT_NODE_SYMLINK) {
        char link[96] = {0};
        assert_true(readlink(path, link, sizeof(link) - 1) > 0);
        assert_string_equal(link, file->link);
        return;
    }
    hf_buf_init(&buf, file->len + 1);
    assert_ok(hf_read_file(s->f->ctx.arena, path, &buf));
    assert_int_equal(buf.len, file->len);
    if (file->len > 0 && memcmp(buf.ptr, file->bytes, file->len) != 0) {
        fail_msg("%s differs", file->path);
    }
}

/* Extract the newest backup and compare it with the source, byte for byte. */
static inline void source_compare(struct source *s)
{
    char *dir = hf_printf(s->f->ctx.arena, "%s/out", s->f->dir);

    assert_ok(hf_make_dirs(s->f->ctx.arena, dir, 0700));
    assert_ok(source_extract(s, &s->root, dir));
    for (size_t i = 0; i < s->len; i++) {
        source_compare_file(s, &s->files[i], dir);
    }
    assert_ok(hf_remove_tree(s->f->ctx.arena, dir));
}

#endif
