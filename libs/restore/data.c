/* Files of the point into the directory, with the manifest written beside as they are listed. Files
 * that a restore changes or makes afterwards (labels, configuration) enter the manifest last, with
 * the bytes they then have. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "pgformat/manifest.h"
#include "restore/internal.h"
#include "vault/extract.h"

#define MANIFEST_NAME "backup_manifest"
#define MODES 010000

struct restore_data {
    struct restore *restore;
    const struct pgf_tablespace *spaces;
    size_t spaces_len;
    struct pgf_manifest *manifest;
    int manifest_fd;
    const char *manifest_path;
    uint64_t files;
    char modes[MODES]; /* a file's cookie points to the cell of its mode; the cells hold nothing */
};

/* --- where a path goes ---------------------------------------------------------------------- */

/* pg_tblspc/<oid>/rest lies in the tablespace's own directory. */
static const char *target_path(struct hf_arena *arena, const struct restore_data *data,
                               const char *path)
{
    static const char prefix[] = "pg_tblspc/";

    if (hf_has_prefix(path, prefix)) {
        const char *rest = path + sizeof(prefix) - 1;
        size_t len = strcspn(rest, "/");
        uint64_t oid = 0;

        for (size_t i = 0; rest[len] == '/' && i < data->spaces_len; i++) {
            if (hf_parse_u64(hf_strndup(arena, rest, len), &oid) && oid == data->spaces[i].oid) {
                return hf_printf(arena, "%s%s", data->spaces[i].path, rest + len);
            }
        }
    }
    return hf_path_join(arena, data->restore->options->dir, path);
}

/* Files whose bytes the restore decides: written by conf.c or start-up, never as stored. */
static bool is_replaced(const char *path)
{
    static const char *const names[] = {
        "postgresql.conf", "postgresql.auto.conf", "recovery.signal", "standby.signal",
        "backup_label",    "tablespace_map",       MANIFEST_NAME};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (hf_text_equal(path, names[i])) {
            return true;
        }
    }
    return false;
}

/* --- sink ----------------------------------------------------------------------------------- */

/* path and what is missing above it, all ours afterwards; the mode is path's own. */
static struct hf_status make_dirs(struct restore *restore, struct hf_arena *arena, const char *path,
                                  mode_t mode)
{
    struct stat found;

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *parent = hf_strndup(arena, path, (size_t)(slash - path));

        if (lstat(parent, &found) != 0) {
            HF_TRY(restore_mkdir(restore, parent, 0700));
        }
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hf_fail_errno(arena, errno, "making %s", path);
    }
    HF_CLEANUP(hf_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fchmod(fd, mode & 07777) != 0) {
        return hf_fail_errno(arena, errno, "setting the mode of %s", path);
    }
    return restore_own(restore, arena, fd, path);
}

static struct hf_status on_dir(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    struct restore_data *data = arg;

    return make_dirs(data->restore, ctx->arena, target_path(ctx->arena, data, attrs->path),
                     attrs->mode);
}

static struct hf_status on_symlink(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    struct restore_data *data = arg;

    if (hf_has_prefix(attrs->path, "pg_tblspc/")) {
        return hf_success(); /* made from the mapped tablespace list */
    }
    const char *path = hf_path_join(ctx->arena, data->restore->options->dir, attrs->path);

    if (symlink(attrs->link, path) != 0 && errno != EEXIST) {
        return hf_fail_errno(ctx->arena, errno, "making the link %s", path);
    }
    return hf_success();
}

static struct hf_status on_file(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs,
                                struct vault_extract_file *ret_file)
{
    struct restore_data *data = arg;
    bool is_control = hf_text_equal(attrs->path, "global/pg_control");
    const struct pgf_manifest_file entry = {
        .path = attrs->path,
        .size_bytes = attrs->size_bytes,
        .mtime_s = attrs->mtime_us / HF_US_PER_S,
        .crc32c = attrs->crc32c,
    };

    data->files++;
    ret_file->action = VAULT_EXTRACT_CREATE;
    ret_file->path = hf_strdup(
        ctx->arena, target_path(ctx->arena, data, is_control ? RESTORE_CONTROL_TEMP : attrs->path));
    ret_file->cookie = &data->modes[attrs->mode % MODES];
    return is_replaced(attrs->path) ? hf_success() : pgf_manifest_add(data->manifest, &entry);
}

static struct hf_status on_file_done(struct hf_ctx *ctx, void *arg, int fd, const char *path,
                                     void *cookie)
{
    struct restore_data *data = arg;

    const char *cell = cookie;

    if (fchmod(fd, (mode_t)(cell - data->modes)) != 0) {
        return hf_fail_errno(ctx->arena, errno, "setting the mode of %s", path);
    }
    /* Start writing it out now, so that the sync at the end has little left to do. */
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return restore_own(data->restore, ctx->arena, fd, path);
}

/* --- manifest ------------------------------------------------------------------------------- */

static struct hf_status write_manifest(void *arg, const void *bytes, size_t len)
{
    struct restore_data *data = arg;

    return hf_write_all(data->restore->ctx->arena, data->manifest_fd, bytes, len,
                        data->manifest_path);
}

static struct hf_status open_manifest(struct restore_data *data, const struct restore_plan *plan)
{
    struct restore *restore = data->restore;
    uint64_t system = 0;

    data->manifest_path = hf_path_join(restore->ctx->arena, restore->options->dir, MANIFEST_NAME);
    data->manifest_fd = open(data->manifest_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (data->manifest_fd < 0) {
        return hf_fail_errno(restore->ctx->arena, errno, "making %s", data->manifest_path);
    }
    (void)hf_parse_u64(restore->state.source.system_identifier, &system);
    const struct pgf_manifest_options options = {
        .write = write_manifest,
        .arg = data,
        .server_major = (int)(plan->point->server_version / 10000),
        .system_identifier = system,
    };

    data->manifest = pgf_manifest_new(&options);
    return restore_own(restore, restore->ctx->arena, data->manifest_fd, data->manifest_path);
}

static struct hf_status finish_manifest(struct restore_data *data, const struct restore_plan *plan,
                                        const restore_made_files *made)
{
    const struct pgf_manifest_range range = {plan->point->timeline, plan->point->start_lsn,
                                             plan->point->stop_lsn};

    for (size_t i = 0; i < made->len; i++) {
        const struct pgf_manifest_file entry = {
            .path = made->items[i].path,
            .size_bytes = made->items[i].size_bytes,
            .mtime_s = hf_now_us() / HF_US_PER_S,
            .crc32c = made->items[i].crc32c,
        };

        HF_TRY(pgf_manifest_add(data->manifest, &entry));
    }
    HF_TRY(pgf_manifest_finish(data->manifest, &range, 1));
    return hf_fsync(data->restore->ctx->arena, data->manifest_fd, data->manifest_path);
}

/* --- labels --------------------------------------------------------------------------------- */

static struct hf_status write_labels(struct restore_data *data, const struct vault_root *root,
                                     restore_made_files *made)
{
    struct restore *restore = data->restore;
    const char *label = vault_root_fact(root, "backup_label");
    HF_CLEANUP(hf_buf_done) struct hf_buf map = {0};

    if (hf_text_empty(label)) {
        return hf_fail(restore->ctx->arena, HF_DATA_LOSS, "the root of backup %s has no label",
                       root->info.id);
    }
    size_t len = strlen(label);

    HF_TRY(restore_write(restore, "backup_label", label, len));
    *HF_VEC_ADD(restore->ctx->arena, made) =
        (struct restore_made){"backup_label", len, codec_crc32c(0, label, len)};
    if (data->spaces_len == 0) {
        return hf_success();
    }
    hf_buf_init(&map, PGF_TABLESPACE_MAP_MAX_BYTES);
    pgf_tablespace_map_print(data->spaces, data->spaces_len, &map);
    HF_TRY(hf_buf_status(&map, restore->ctx->arena, "tablespace_map"));
    HF_TRY(restore_write(restore, "tablespace_map", map.ptr, map.len));
    *HF_VEC_ADD(restore->ctx->arena, made) =
        (struct restore_made){"tablespace_map", map.len, codec_crc32c(0, map.ptr, map.len)};
    return hf_success();
}

/* Directories and links of the tablespaces. */
static struct hf_status make_spaces(struct restore_data *data)
{
    struct restore *restore = data->restore;
    struct hf_arena *arena = restore->ctx->arena;

    for (size_t i = 0; i < data->spaces_len; i++) {
        const char *link = hf_printf(arena, "%s/pg_tblspc/%u", restore->options->dir,
                                     (unsigned)data->spaces[i].oid);

        HF_TRY(make_dirs(restore, arena, data->spaces[i].path, 0700));
        HF_TRY(restore_sync_open(restore, data->spaces[i].path));
        HF_TRY(make_dirs(restore, arena, hf_path_join(arena, restore->options->dir, "pg_tblspc"),
                         0700));
        if (symlink(data->spaces[i].path, link) != 0 && errno != EEXIST) {
            return hf_fail_errno(arena, errno, "making the link %s", link);
        }
        if (restore->has_owner && lchown(link, restore->uid, restore->gid) != 0) {
            return hf_fail_errno(arena, errno, "giving %s to its owner", link);
        }
    }
    return hf_success();
}

/* --- the story ------------------------------------------------------------------------------ */

static struct hf_status extract(struct restore_data *data, const struct vault_root *root)
{
    struct restore *restore = data->restore;
    const struct vault_extract_sink sink = {.arg = data,
                                            .dir = on_dir,
                                            .symlink = on_symlink,
                                            .file = on_file,
                                            .file_done = on_file_done};
    const struct vault_extract_options options = {
        .place = restore->place,
        .root = root,
        .sink = &sink,
        .threads = (unsigned)restore->threads,
        .progress = restore->options->progress == NULL ? NULL : &restore->options->progress->data,
    };

    return vault_extract(restore->ctx, &options);
}

static struct hf_status run(struct restore_data *data, const struct restore_plan *plan,
                            const struct vault_root *root)
{
    restore_made_files made = {0};

    HF_TRY(open_manifest(data, plan));
    HF_TRY(make_spaces(data));
    HF_TRY(extract(data, root));
    HF_TRY(write_labels(data, root, &made));
    HF_TRY(restore_conf_write(data->restore, plan, &made));
    return finish_manifest(data, plan, &made);
}

struct hf_status restore_data_run(struct restore *restore, const struct restore_plan *plan,
                                  const struct vault_root *root,
                                  const struct pgf_tablespace *spaces, size_t spaces_len,
                                  struct restore_result *result)
{
    struct restore_data data = {
        .restore = restore, .spaces = spaces, .spaces_len = spaces_len, .manifest_fd = -1};
    struct hf_status status = run(&data, plan, root);

    pgf_manifest_free(data.manifest);
    if (data.manifest_fd >= 0) {
        close(data.manifest_fd);
    }
    result->files = data.files;
    result->data_bytes = root->info.source_bytes;
    return status;
}
