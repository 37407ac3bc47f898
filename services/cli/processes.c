/* run/processes.json. The surprises: a killed process stays a zombie until it is reaped, and
 * kill(pid, 0) still succeeds then; and after a reboot its pid may be anybody's. /proc tells both,
 * but not of the service where /proc is mounted with hidepid: it makes itself unreadable, and so
 * invisible to its own user. Of such a process kill() tells that it lives (a zombie is shown), and
 * the boot's id that it is of this boot. */
#include "cli/processes.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/dir.h"
#include "codec/json.h"

#define PROCESSES_FILE "run/processes.json"
#define FILE_MAX_BYTES 65536
#define STAT_MAX_BYTES 4096
#define BEGAN_FIELD 22 /* proc(5) */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define HIDDEN INT64_MAX

/* When a process began, in ticks since the machine did; 0: there is none, or it is a zombie;
 * HIDDEN: it is there and may be signalled, but not looked at. */
static int64_t began_ticks(int64_t pid)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    uint64_t ticks = 0;

    hf_buf_init(&text, STAT_MAX_BYTES);
    if (pid <= 0 || pid > INT32_MAX) {
        return 0;
    }
    if (!hf_is_ok(
            hf_read_file(arena, hf_printf(arena, "/proc/%lld/stat", (long long)pid), &text))) {
        return kill((pid_t)pid, 0) == 0 ? HIDDEN : 0;
    }
    const char *at = strrchr(hf_buf_text(&text), ')'); /* the name may hold anything */

    if (at == NULL || strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0) {
        return 0;
    }
    for (int field = 2; at != NULL && field < BEGAN_FIELD; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL && hf_parse_u64(hf_strndup(arena, at + 1, strcspn(at + 1, " ")), &ticks)
               ? (int64_t)ticks
               : 0;
}

bool processes_is_alive(int64_t pid)
{
    return began_ticks(pid) != 0;
}

static const char *boot_id(struct hf_arena *arena)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, STAT_MAX_BYTES);
    if (!hf_is_ok(hf_read_file(arena, BOOT_ID, &text))) {
        return "";
    }
    const char *id = hf_buf_text(&text);

    return hf_strndup(arena, id, strcspn(id, "\n"));
}

/* Is it the very process that was saved? Root sees what the supervisor could not. */
static void look_at(struct process_entry *entry, int64_t began, bool is_this_boot)
{
    int64_t now = began_ticks(entry->pid);

    entry->is_hidden = now == HIDDEN && is_this_boot;
    entry->is_alive =
        now == HIDDEN || began == HIDDEN ? now != 0 && is_this_boot : now != 0 && now == began;
}

static void mark_load(const struct codec_value *item, const char *key, char mark[PROCESS_MARK_MAX])
{
    const char *text = codec_value_text(item, key);
    size_t len = text == NULL ? 0 : strlen(text);

    if (len > 0 && len < PROCESS_MARK_MAX) {
        memcpy(mark, text, len + 1);
    }
}

static const char *const names[] = {"supervisor", "postgres", "redis", "backup"};

static const char *known_name(const char *name)
{
    for (size_t i = 0; i < HF_LEN(names) && name != NULL; i++) {
        if (hf_text_equal(name, names[i])) {
            return names[i];
        }
    }
    return NULL;
}

struct hf_status processes_load(struct hf_ctx *ctx, const char *dir,
                                const struct process_entry **ret_entries, size_t *ret_len)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const struct codec_value *value = NULL;
    const char *path = hf_path_join(ctx->arena, dir, PROCESSES_FILE);

    *ret_entries = NULL;
    *ret_len = 0;
    hf_buf_init(&text, FILE_MAX_BYTES);
    struct hf_status status = dir_read(ctx, dir, PROCESSES_FILE, &text);

    if (status.code == HF_NOT_FOUND) {
        return hf_success();
    }
    HF_TRY(status);
    HF_TRY(codec_json_parse(ctx->arena, (struct hf_str){(const char *)text.ptr, text.len}, path,
                            &value));
    const struct codec_value *list = codec_value_get(value, "processes");

    if (list == NULL || list->kind != CODEC_ARRAY) {
        return hf_fail(ctx->arena, HF_DATA_LOSS,
                       "%s holds no list of processes; remove it, and the supervisor writes it "
                       "again",
                       path);
    }
    const char *boot = codec_value_text(value, "bootId");
    bool is_this_boot = boot != NULL && hf_text_equal(boot, boot_id(ctx->arena));
    struct process_entry *entries = HF_NEW_N(ctx->arena, struct process_entry, HF_LEN(names));
    size_t len = 0;

    for (size_t i = 0; i < list->len && len < HF_LEN(names); i++) {
        const struct codec_value *item = &list->items[i];
        const char *name = known_name(codec_value_text(item, "name"));

        if (name == NULL || processes_find(entries, len, name) != NULL) {
            continue; /* a later release's, or nobody's */
        }
        struct process_entry *entry = &entries[len++];

        entry->name = name;
        entry->pid = codec_value_int(item, "pid", 0);
        mark_load(item, "log", entry->began.log);
        mark_load(item, "program", entry->began.program);
        mark_load(item, "settings", entry->began.settings);
        look_at(entry, codec_value_int(item, "began", 0), is_this_boot);
    }
    *ret_entries = entries;
    *ret_len = len;
    return hf_success();
}

const struct process_entry *processes_find(const struct process_entry *entries, size_t len,
                                           const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (hf_text_equal(entries[i].name, name)) {
            return &entries[i];
        }
    }
    return NULL;
}

bool processes_saved(struct hf_ctx *ctx, const char *dir)
{
    return access(hf_path_join(ctx->arena, dir, PROCESSES_FILE), F_OK) == 0 || errno != ENOENT;
}

struct hf_status processes_save(struct hf_ctx *ctx, const char *dir,
                                const struct process_entry *entries, size_t len)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, FILE_MAX_BYTES);
    struct codec_json json = codec_json_open(&text, 2);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "bootId", boot_id(ctx->arena));
    codec_json_key(&json, "processes");
    codec_json_begin_array(&json);
    for (size_t i = 0; i < len; i++) {
        codec_json_begin_object(&json);
        codec_json_put_text(&json, "name", entries[i].name);
        codec_json_put_int(&json, "pid", entries[i].pid);
        codec_json_put_int(&json, "began", began_ticks(entries[i].pid));
        codec_json_put_text(&json, "log", entries[i].began.log);
        codec_json_put_text(&json, "program", entries[i].began.program);
        codec_json_put_text(&json, "settings", entries[i].began.settings);
        codec_json_end(&json);
    }
    codec_json_end(&json);
    codec_json_end(&json);
    HF_TRY(codec_json_close(&json, ctx->arena, "the list of processes"));
    return hf_replace_file(ctx->arena, hf_path_join(ctx->arena, dir, PROCESSES_FILE), text.ptr,
                           text.len, 0600);
}
