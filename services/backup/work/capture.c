/* Tar members into a vault session. Tablespace archives are stored below pg_tblspc/<oid>, the way
 * the data directory itself names them, so that one path space holds the whole cluster. */
#include "backup/work/capture.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "pgformat/exclude.h"
#include "pgformat/label.h"
#include "pgformat/path.h"

#define SHOWN_MAX_BYTES 512

void capture_init(struct capture *capture, struct hf_ctx *ctx, struct vault_session *session)
{
    *capture = (struct capture){.ctx = ctx, .session = session};
    hf_buf_init(&capture->label, PGF_LABEL_MAX_BYTES);
    hf_buf_init(&capture->tablespace_map, PGF_TABLESPACE_MAP_MAX_BYTES);
    capture->dirs = hf_map_new();
}

void capture_done(struct capture *capture)
{
    hf_buf_done(&capture->label);
    hf_buf_done(&capture->tablespace_map);
    hf_map_free(HF_TAKE(capture->dirs));
}

static struct hf_status on_started(void *arg, const struct pgwire_backup_start *start)
{
    struct capture *capture = arg;

    capture->start = *start; /* numbers only are used after the callback */
    capture->start.tablespaces = NULL;
    return hf_success();
}

static struct hf_status on_archive(void *arg, uint32_t oid, const char *location)
{
    struct capture *capture = arg;

    (void)location;
    capture->archive = oid;
    return hf_success();
}

static struct hf_status on_progress(void *arg, uint64_t received_bytes)
{
    struct capture *capture = arg;

    if (capture->on_progress == NULL) {
        return hf_success();
    }
    uint64_t total = capture->start.size_bytes < 0 ? 0 : (uint64_t)capture->start.size_bytes;

    return capture->on_progress(capture->progress_arg, received_bytes, total);
}

static struct hf_buf *fact_of(struct capture *capture, const struct pgf_tar_member *member)
{
    if (capture->archive != 0 || member->kind != PGF_TAR_FILE) {
        return NULL;
    }
    if (hf_text_equal(member->path, "backup_label")) {
        return &capture->label;
    }
    return hf_text_equal(member->path, "tablespace_map") ? &capture->tablespace_map : NULL;
}

/* --- judging -------------------------------------------------------------------------------- */

static struct hf_status refuse(struct capture *capture, const char *path, const char *what)
{
    struct hf_arena *arena = capture->ctx->arena;

    return hf_fail(arena, HF_DATA_LOSS, "the server sent %s, %s",
                   hf_text_show(arena, path, hf_str_of(path).len, SHOWN_MAX_BYTES), what);
}

/* The archive's own top needs no directory. */
static bool has_directory(const struct capture *capture, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *rest = path;
    uint32_t oid = 0;

    if (capture->archive != 0 && pgf_path_in_tablespace(path, &oid, &rest)) {
        slash = strchr(rest, '/') == NULL ? NULL : slash;
    }
    return slash == NULL || hf_map_get(capture->dirs, hf_strndup(capture->ctx->arena, path,
                                                                 (size_t)(slash - path))) != NULL;
}

static struct hf_status judge(struct capture *capture, const struct pgf_tar_member *member,
                              const char *path)
{
    uint32_t oid = 0;
    const char *rest = path;

    if (!pgf_path_is_sane(path)) {
        return refuse(capture, path, "which no data directory has");
    }
    if (member->kind == PGF_TAR_SYMLINK &&
        (capture->archive != 0 || !pgf_path_in_tablespace(path, &oid, &rest) || rest[0] != '\0')) {
        return refuse(capture, path, "a link: none but pg_tblspc/<oid> can be one");
    }
    if (!has_directory(capture, path)) {
        return refuse(capture, path, "but not before it the directory that it is in");
    }
    if (hf_map_get(capture->dirs, path) != NULL) {
        return refuse(capture, path, "which it had sent as a directory before");
    }
    if (member->kind == PGF_TAR_DIRECTORY) {
        (void)hf_map_put(capture->dirs, path, capture);
    }
    return hf_map_len(capture->dirs) <= PGF_DIRS_MAX
               ? hf_success()
               : refuse(capture, path, "and more directories than a cluster can have");
}

/* --- events --------------------------------------------------------------------------------- */

static struct hf_status store_header(struct capture *capture, const struct pgf_tar_member *member,
                                     const char *path)
{
    const struct vault_attrs attrs = {
        .node = capture->is_file ? VAULT_NODE_FILE : VAULT_NODE_DIR,
        .path = path,
        .link = "",
        .mode = member->mode & 0777,
        .mtime_us = member->mtime_s * HF_US_PER_S,
        .size_bytes = member->size_bytes,
    };

    return capture->is_file ? vault_session_file_begin(capture->ctx, capture->session, &attrs)
                            : vault_session_entry(capture->ctx, capture->session, &attrs);
}

/* Links of tablespaces are not stored: a restore makes its own from tablespace_map. */
static struct hf_status on_header(void *arg, const struct pgf_tar_member *member)
{
    struct capture *capture = arg;

    hf_arena_reset(capture->ctx->arena);
    capture->fact = fact_of(capture, member);
    capture->is_file = member->kind == PGF_TAR_FILE;
    const char *path = capture->archive == 0 ? member->path
                                             : hf_printf(capture->ctx->arena, "pg_tblspc/%u/%s",
                                                         (unsigned)capture->archive, member->path);

    HF_TRY(judge(capture, member, path));
    capture->is_skipped =
        capture->fact != NULL || member->kind == PGF_TAR_SYMLINK || pgf_exclude_entry(path);
    return capture->is_skipped ? hf_success() : store_header(capture, member, path);
}

static struct hf_status on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct capture *capture = arg;

    if (capture->fact != NULL) {
        hf_buf_append(capture->fact, bytes, len);
        return hf_buf_status(capture->fact, capture->ctx->arena, "the backup label");
    }
    return capture->is_skipped ? hf_success()
                               : vault_session_write(capture->ctx, capture->session, bytes, len);
}

static struct hf_status on_end(void *arg)
{
    struct capture *capture = arg;

    return capture->is_skipped || !capture->is_file
               ? hf_success()
               : vault_session_file_end(capture->ctx, capture->session);
}

struct pgwire_backup_events capture_events(struct capture *capture)
{
    return (struct pgwire_backup_events){
        .started = on_started,
        .archive_begin = on_archive,
        .progress = on_progress,
        .tar = {.header = on_header, .data = on_data, .end = on_end, .arg = capture},
        .arg = capture,
    };
}
