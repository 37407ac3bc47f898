/* Configuration of a restored server. What it must not inherit is taken out; what Debian keeps
 * outside the data directory is made anew, minimal and local-only; recovery settings go to
 * postgresql.auto.conf. */
#include "pgformat/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "pgformat/control.h"
#include "pgformat/wal.h"
#include "restore/internal.h"

/* Locations of files outside of the directory belong to the source's machine. */
static bool is_dropped(struct hf_str name)
{
    static const char *const places[] = {"data_directory", "hba_file", "ident_file",
                                         "external_pid_file"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (name.len == strlen(places[i]) && strncasecmp(name.ptr, places[i], name.len) == 0) {
            return true;
        }
    }
    return pgf_conf_is_unwanted(name);
}

static struct hf_status write_made(struct restore *restore, const char *name,
                                   const struct hf_buf *text, restore_made_files *made)
{
    HF_TRY(hf_buf_status(text, restore->ctx->arena, name));
    HF_TRY(restore_write(restore, name, text->ptr, text->len));
    *HF_VEC_ADD(restore->ctx->arena, made) =
        (struct restore_made){name, text->len, codec_crc32c(0, text->ptr, text->len)};
    return hf_success();
}

/* --- files that the source keeps elsewhere --------------------------------------------------- */

static struct hf_status read_control(struct restore *restore, struct pgf_control *ret_control)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    bool is_there = false;

    hf_buf_init(&bytes, PGF_CONTROL_FILE_BYTES);
    HF_TRY(restore_read(restore, RESTORE_CONTROL_TEMP, &bytes, &is_there));
    if (!is_there) {
        return hf_fail(restore->ctx->arena, HF_DATA_LOSS, "the backup has no global/pg_control");
    }
    return pgf_control_decode(restore->ctx->arena, bytes.ptr, bytes.len, ret_control);
}

/* Recovery refuses to start with less than the source had. */
static void append_limits(struct restore *restore, struct hf_buf *out,
                          const struct pgf_control *control)
{
    const struct {
        const char *name;
        int value;
    } limits[] = {
        {"max_connections", control->max_connections},
        {"max_worker_processes", control->max_worker_processes},
        {"max_wal_senders", control->max_wal_senders},
        {"max_prepared_transactions", control->max_prepared_xacts},
        {"max_locks_per_transaction", control->max_locks_per_xact},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        (void)pgf_conf_append(out, limits[i].name,
                              hf_printf(restore->ctx->arena, "%d", limits[i].value));
    }
}

static struct hf_status make_conf(struct restore *restore, struct hf_buf *out)
{
    struct pgf_control control = {0};

    HF_TRY(read_control(restore, &control));
    hf_buf_text_append(out, "# Made by holdfast: the source keeps its configuration elsewhere.\n");
    (void)pgf_conf_append(out, "listen_addresses", "localhost");
    (void)pgf_conf_append(out, "wal_level", control.wal_level == 2 ? "logical" : "replica");
    append_limits(restore, out, &control);
    restore_note(restore,
                 "postgresql.conf was not in the data directory: a minimal, local-only one "
                 "was written; settings like shared_preload_libraries are the source's to "
                 "know");
    return hf_success();
}

static struct hf_status write_conf(struct restore *restore, restore_made_files *made)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf old = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_there = false;

    hf_buf_init(&old, PGF_CONF_MAX_BYTES);
    hf_buf_init(&text, 2 * PGF_CONF_MAX_BYTES);
    HF_TRY(restore_read(restore, "postgresql.conf", &old, &is_there));
    if (is_there) {
        pgf_conf_filter((struct hf_str){(const char *)old.ptr, old.len}, is_dropped, true, &text);
    } else {
        HF_TRY(make_conf(restore, &text));
    }
    return write_made(restore, "postgresql.conf", &text, made);
}

static struct hf_status write_missing(struct restore *restore, const char *name,
                                      const char *content, restore_made_files *made)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(restore_data_dir(restore)->fd, name, O_PATH, 0);

    if (fd >= 0 || errno != ENOENT) {
        return hf_success();
    }
    hf_buf_init(&text, 65536);
    hf_buf_text_append(&text, content);
    restore_note(restore, "%s was not in the data directory: a local-only one was written", name);
    return write_made(restore, name, &text, made);
}

/* --- recovery ------------------------------------------------------------------------------- */

/* PostgreSQL takes no "T…Z" here: "2026-11-24 03:48:00.123456+00". */
static const char *pg_time(struct hf_arena *arena, int64_t time_us)
{
    const char *text = hf_time_text(arena, time_us);

    return hf_printf(arena, "%.10s %.15s+00", text, text + 11);
}

/* OK also when there is no target: then recovery goes to the end. A target that cannot be written
 * must never become that. */
static struct hf_status append_target(struct restore *restore, const struct restore_plan *plan,
                                      struct hf_buf *out)
{
    struct hf_arena *arena = restore->ctx->arena;
    const struct restore_target *target = &restore->options->target;
    static const char *const actions[] = {
        [RESTORE_PROMOTE] = "promote", [RESTORE_PAUSE] = "pause", [RESTORE_SHUTDOWN] = "shutdown"};

    bool is_written = true;

    switch (plan->recovery) {
    case RESTORE_LATEST:
        return hf_success();
    case RESTORE_IMMEDIATE:
        is_written = pgf_conf_append(out, "recovery_target", "immediate");
        break;
    case RESTORE_TIME:
        is_written = pgf_conf_append(out, "recovery_target_time", pg_time(arena, target->time_us));
        break;
    case RESTORE_LSN:
        is_written = pgf_conf_append(
            out, "recovery_target_lsn",
            pgf_lsn(plan->recovery_lsn != 0 ? plan->recovery_lsn : target->lsn).text);
        break;
    case RESTORE_XID:
        is_written = pgf_conf_append(out, "recovery_target_xid",
                                     hf_printf(arena, "%llu", (unsigned long long)target->xid));
        break;
    case RESTORE_NAME:
        is_written = pgf_conf_append(out, "recovery_target_name", target->name);
        break;
    }
    if (!is_written) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "the target cannot be written as a setting");
    }
    bool is_exclusive = target->is_exclusive && plan->recovery_lsn == 0;

    (void)pgf_conf_append(out, "recovery_target_inclusive", is_exclusive ? "off" : "on");
    (void)pgf_conf_append(out, "recovery_target_action", actions[restore->options->action]);
    if (restore->options->action == RESTORE_PAUSE) {
        (void)pgf_conf_append(out, "hot_standby", "on"); /* without it a pause is a shutdown */
    }
    return hf_success();
}

static struct hf_status write_auto_conf(struct restore *restore, const struct restore_plan *plan)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf old = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_there = false;

    hf_buf_init(&old, PGF_CONF_MAX_BYTES);
    hf_buf_init(&text, 2 * PGF_CONF_MAX_BYTES);
    HF_TRY(restore_read(restore, "postgresql.auto.conf", &old, &is_there));
    if (is_there) {
        pgf_conf_filter((struct hf_str){(const char *)old.ptr, old.len}, is_dropped, false, &text);
    }
    hf_buf_printf(&text, "# Recovery of %s by holdfast; may go after promotion.\n",
                  restore->options->cluster);
    /* All WAL is in pg_wal; PostgreSQL insists on a command and takes its failure for "not there".
     */
    (void)pgf_conf_append(&text, "restore_command", "false");
    (void)pgf_conf_append(&text, "recovery_target_timeline",
                          hf_printf(restore->ctx->arena, "%u", (unsigned)plan->history.timeline));
    HF_TRY(append_target(restore, plan, &text));
    HF_TRY(hf_buf_status(&text, restore->ctx->arena, "postgresql.auto.conf"));
    HF_TRY(restore_write(restore, "postgresql.auto.conf", text.ptr, text.len));
    return restore_write(restore, "recovery.signal", "", 0);
}

struct hf_status restore_conf_write(struct restore *restore, const struct restore_plan *plan,
                                    restore_made_files *made)
{
    HF_TRY(write_conf(restore, made));
    HF_TRY(write_missing(restore, "pg_hba.conf",
                         "# Made by holdfast: local connections only.\n"
                         "local all all peer\n"
                         "host all all 127.0.0.1/32 scram-sha-256\n"
                         "host all all ::1/128 scram-sha-256\n",
                         made));
    HF_TRY(write_missing(restore, "pg_ident.conf", "# Made by holdfast.\n", made));
    return write_auto_conf(restore, plan);
}
