/* Marks. A program is marked by its file, not by its text: it is as large as it likes to be. */
#include "cli/supervise/began.h"

#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"
#include "codec/hash.h"

#define SETTINGS_MAX ((size_t)1 << 20)
#define NO_SETTINGS "none"
#define SELF "/proc/self/exe"

static void mark(char ret_mark[PROCESS_MARK_MAX], const char *text)
{
    HF_CHECK(strlen(text) < PROCESS_MARK_MAX);
    memcpy(ret_mark, text, strlen(text) + 1);
}

/* held: the same program where the path is closed to us; 0: there is none. */
static void mark_program(struct hf_arena *arena, const char *path, int held,
                         char ret_mark[PROCESS_MARK_MAX])
{
    struct stat found;

    if (path != NULL && (stat(path, &found) == 0 || (held > 0 && fstat(held, &found) == 0))) {
        mark(ret_mark, hf_printf(arena, "%llx:%llx:%lld.%09ld", (unsigned long long)found.st_dev,
                                 (unsigned long long)found.st_ino, (long long)found.st_mtim.tv_sec,
                                 found.st_mtim.tv_nsec));
    }
}

static void mark_settings(struct hf_ctx *ctx, const struct place *place,
                          char ret_mark[PROCESS_MARK_MAX])
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    uint8_t digest[CODEC_SHA256_LEN];

    hf_buf_init(&text, SETTINGS_MAX);
    struct hf_status status = dir_read(ctx, place->dir, DIR_OVERRIDES, &text);

    if (hf_is_ok(status)) {
        codec_sha256(hf_buf_text(&text), text.len, digest);
        mark(ret_mark, hf_hex(ctx->arena, digest, sizeof(digest)));
    } else if (status.code == HF_NOT_FOUND) {
        mark(ret_mark, NO_SETTINGS);
    }
}

struct process_began began_look(struct hf_ctx *ctx, const struct place *place, enum child_id id)
{
    struct process_began began = {.log = ""};

    mark_program(ctx->arena, children_program(ctx->arena, place, id),
                 id == CHILD_BACKUP ? place->service : 0, began.program);
    if (id == CHILD_BACKUP) {
        mark_settings(ctx, place, began.settings);
    }
    return began;
}

void began_set_log(struct hf_arena *arena, int log, struct process_began *began)
{
    mark(began->log, logs_mark(arena, log));
}

struct process_began began_look_at_self(struct hf_ctx *ctx, const struct place *place)
{
    struct process_began began = {.log = ""};

    mark_program(ctx->arena, SELF, 0, began.program);
    mark_settings(ctx, place, began.settings);
    return began;
}

/* What it would begin with now. */
static struct process_began look_by_name(struct hf_ctx *ctx, const struct place *place,
                                         const char *name)
{
    for (size_t i = 0; i < CHILDREN; i++) {
        if (hf_text_equal(children_name((enum child_id)i), name)) {
            return began_look(ctx, place, (enum child_id)i);
        }
    }
    return began_look_at_self(ctx, place);
}

/* What cannot be looked at now is nobody's finding here. */
static bool is_other(const char *then, const char *now)
{
    return *now != '\0' && !hf_text_equal(then, now);
}

const char *began_newer(struct hf_ctx *ctx, const struct place *place,
                        const struct process_entry *entry)
{
    const struct process_began now = look_by_name(ctx, place, entry->name);

    if (is_other(entry->began.program, now.program)) {
        return hf_text_empty(entry->began.program)
                   ? "a program that nobody noted: an earlier release did not"
                   : "another program than the one that is installed now";
    }
    return is_other(entry->began.settings, now.settings) ? "another " DIR_OVERRIDES
                                                           " than the one that is there now"
                                                         : NULL;
}
