/* Files of the point into the directory, with the manifest written beside as they are listed. Files
 * that a restore changes or makes afterwards (labels, configuration) enter the manifest last, with
 * the bytes they then have.
 *
 * The vault says names, kinds, modes and sizes; none is believed. Only files and directories are
 * made of it, below the data directory or the tablespace that the operator placed; the only links
 * are ours, pg_tblspc/<oid>. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "pgformat/manifest.h"
#include "pgformat/path.h"
#include "restore/internal.h"
#include "vault/extract.h"

#define MANIFEST_NAME "backup_manifest"
#define MODES 01000
#define MAP_MAX_BYTES ((size_t)64 << 20) /* the operator's own paths */
#define DIRS_MIN 65536                   /* so many directories need no file */

struct restore_data {
    struct restore *restore;
    const struct vault_root *root;
    struct pgf_manifest *manifest;
    int manifest_fd;
    uint64_t files;
    uint64_t dirs;
    uint64_t bytes;    /* of the files listed */
    char modes[MODES]; /* a file's cookie points to the cell of its mode; the cells hold nothing */
};

/* --- where a path goes ---------------------------------------------------------------------- */

static int compare_dirs(const void *a, const void *b)
{
    const struct restore_dir *x = a;
    const struct restore_dir *y = b;

    return x->oid < y->oid ? -1 : x->oid > y->oid;
}

/* pg_tblspc/<oid>/rest lies in the tablespace's own directory. *ret_rest points into path. */
static const struct restore_dir *dir_of(const struct restore *restore, const char *path,
                                        const char **ret_rest)
{
    struct restore_dir key = {.oid = 0};
    const char *rest = NULL;
    const struct restore_dir *found = NULL;

    if (pgf_path_in_tablespace(path, &key.oid, &rest) && rest[0] != '\0') {
        found = bsearch(&key, restore->dirs.items, restore->dirs.len, sizeof(key), compare_dirs);
    }
    *ret_rest = found != NULL ? rest : path;
    return found != NULL ? found : restore_data_dir(restore);
}

static struct hf_status check_name(struct hf_arena *arena, const char *path)
{
    return pgf_path_is_sane(path) ? hf_success()
                                  : hf_fail(arena, HF_DATA_LOSS,
                                            "the backup names \"%s\", which no data directory has",
                                            restore_shown(arena, path));
}

/* The root counts what was stored: whatever the map lists beyond that is made up. */
static struct hf_status check_counts(struct hf_arena *arena, const struct restore_data *data)
{
    const struct vault_point_info *info = &data->root->info;

    if (data->files > info->files || data->bytes > info->source_bytes ||
        data->dirs > PGF_DIRS_MAX) {
        return hf_fail(arena, HF_DATA_LOSS,
                       "the map of backup %s lists more than the %llu files and %llu bytes that "
                       "its root counts, or than %u directories",
                       info->id, (unsigned long long)info->files,
                       (unsigned long long)info->source_bytes, PGF_DIRS_MAX);
    }
    return hf_success();
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

static struct hf_status on_dir(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    struct restore_data *data = arg;
    const char *rest = NULL;
    const struct restore_dir *dir = dir_of(data->restore, attrs->path, &rest);

    data->dirs++;
    HF_TRY(check_name(ctx->arena, attrs->path));
    HF_TRY(check_counts(ctx->arena, data));
    return restore_mkdir(data->restore, ctx->arena, dir, rest, attrs->mode);
}

/* A server's tar has links for tablespaces only; ours go where the operator said. */
static struct hf_status on_symlink(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    uint32_t oid = 0;
    const char *rest = NULL;

    (void)arg;
    if (pgf_path_in_tablespace(attrs->path, &oid, &rest) && rest[0] == '\0') {
        return hf_success();
    }
    return hf_fail(ctx->arena, HF_DATA_LOSS,
                   "the backup has a link %s to %s: none but pg_tblspc/<oid> can be one",
                   restore_shown(ctx->arena, attrs->path), restore_shown(ctx->arena, attrs->link));
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
    const char *rest = NULL;
    const struct restore_dir *dir =
        dir_of(data->restore, is_control ? RESTORE_CONTROL_TEMP : attrs->path, &rest);

    data->files++;
    data->bytes += attrs->size_bytes; /* a file has at most 32 TiB */
    HF_TRY(check_name(ctx->arena, attrs->path));
    HF_TRY(check_counts(ctx->arena, data));
    ret_file->action = VAULT_EXTRACT_CREATE;
    ret_file->dir = dir->fd;
    ret_file->path = hf_strdup(ctx->arena, rest);
    ret_file->cookie = &data->modes[attrs->mode % MODES];
    return is_replaced(attrs->path) ? hf_success() : pgf_manifest_add(data->manifest, &entry);
}

static struct hf_status on_file_done(struct hf_ctx *ctx, void *arg, int fd, const char *path,
                                     void *cookie)
{
    struct restore_data *data = arg;

    const char *cell = cookie;

    if (fchmod(fd, (mode_t)(cell - data->modes)) != 0) {
        return restore_fail(ctx->arena, errno, "setting the mode of", path);
    }
    /* Start writing it out now, so that the sync at the end has little left to do. */
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return restore_own(data->restore, ctx->arena, fd, path);
}

/* --- manifest ------------------------------------------------------------------------------- */

static struct hf_status write_manifest(void *arg, const void *bytes, size_t len)
{
    struct restore_data *data = arg;

    return hf_write_all(data->restore->ctx->arena, data->manifest_fd, bytes, len, MANIFEST_NAME);
}

static struct hf_status open_manifest(struct restore_data *data, const struct restore_plan *plan)
{
    struct restore *restore = data->restore;
    uint64_t system = 0;

    HF_TRY(restore_create(restore, restore->ctx->arena, MANIFEST_NAME, &data->manifest_fd));
    (void)hf_parse_u64(restore->state.source.system_identifier, &system);
    const struct pgf_manifest_options options = {
        .write = write_manifest,
        .arg = data,
        .server_major = (int)(plan->point->server_version / 10000),
        .system_identifier = system,
    };

    data->manifest = pgf_manifest_new(&options);
    return hf_success();
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
    return hf_fsync(data->restore->ctx->arena, data->manifest_fd, MANIFEST_NAME);
}

/* --- labels --------------------------------------------------------------------------------- */

static struct hf_status write_made(struct restore *restore, const char *name, struct hf_str text,
                                   restore_made_files *made)
{
    HF_TRY(restore_write(restore, name, text.ptr, text.len));
    *HF_VEC_ADD(restore->ctx->arena, made) =
        (struct restore_made){name, text.len, codec_crc32c(0, text.ptr, text.len)};
    return hf_success();
}

static struct hf_status write_map(struct restore *restore, restore_made_files *made)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf map = {0};

    hf_buf_init(&map, MAP_MAX_BYTES);
    for (size_t i = 1; i < restore->dirs.len; i++) {
        const struct pgf_tablespace space = {restore->dirs.items[i].oid,
                                             restore->dirs.items[i].path};

        pgf_tablespace_map_print(&space, 1, &map);
    }
    HF_TRY(hf_buf_status(&map, restore->ctx->arena, "tablespace_map"));
    return write_made(restore, "tablespace_map", (struct hf_str){(const char *)map.ptr, map.len},
                      made);
}

static struct hf_status write_labels(struct restore_data *data, restore_made_files *made)
{
    struct restore *restore = data->restore;
    struct hf_str label = hf_str_of(vault_root_fact(data->root, "backup_label"));

    if (label.len == 0 || label.len > PGF_LABEL_MAX_BYTES) {
        return hf_fail(restore->ctx->arena, HF_DATA_LOSS,
                       "the root of backup %s has no label that could be one", data->root->info.id);
    }
    HF_TRY(write_made(restore, "backup_label", label, made));
    return restore->dirs.len == 1 ? hf_success() : write_map(restore, made);
}

/* The only links there are. */
static struct hf_status make_links(struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const struct restore_dir *data_dir = restore_data_dir(restore);
    HF_CLEANUP(hf_close) int at = -1;

    HF_TRY(restore_mkdir(restore, arena, data_dir, "pg_tblspc", 0700));
    at = hf_beneath_open(data_dir->fd, "pg_tblspc", O_PATH | O_DIRECTORY, 0);
    for (size_t i = 1; i < restore->dirs.len; i++) {
        const char *oid = hf_printf(arena, "%u", (unsigned)restore->dirs.items[i].oid);

        if (at < 0 || symlinkat(restore->dirs.items[i].path, at, oid) != 0 ||
            (restore->has_owner &&
             fchownat(at, oid, restore->uid, restore->gid, AT_SYMLINK_NOFOLLOW) != 0)) {
            return restore_fail(arena, errno, "making the link of tablespace", oid);
        }
    }
    return hf_success();
}

/* --- the story ------------------------------------------------------------------------------ */

static struct hf_status extract(struct restore_data *data)
{
    struct restore *restore = data->restore;
    const struct vault_extract_sink sink = {.arg = data,
                                            .dir = on_dir,
                                            .symlink = on_symlink,
                                            .file = on_file,
                                            .file_done = on_file_done};
    const struct vault_extract_options options = {
        .place = restore->place,
        .root = data->root,
        .sink = &sink,
        .threads = (unsigned)restore->threads,
        .progress = restore->options->progress == NULL ? NULL : &restore->options->progress->data,
    };

    return vault_extract(restore->ctx, &options);
}

static struct hf_status run(struct restore_data *data, const struct restore_plan *plan)
{
    restore_made_files made = {0};

    HF_TRY(open_manifest(data, plan));
    HF_TRY(data->restore->dirs.len == 1 ? hf_success() : make_links(data->restore));
    HF_TRY(extract(data));
    HF_TRY(write_labels(data, &made));
    HF_TRY(restore_conf_write(data->restore, plan, &made));
    return finish_manifest(data, plan, &made);
}

struct hf_status restore_data_run(struct restore *restore, const struct restore_plan *plan,
                                  const struct vault_root *root, struct restore_result *result)
{
    struct restore_data data = {.restore = restore, .root = root, .manifest_fd = -1};
    struct hf_status status = run(&data, plan);

    pgf_manifest_free(data.manifest);
    if (data.manifest_fd >= 0) {
        close(data.manifest_fd);
    }
    result->files = data.files;
    result->data_bytes = root->info.source_bytes;
    return status;
}
