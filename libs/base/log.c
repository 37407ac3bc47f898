/* JSON lines to stderr. A line never exceeds PIPE_BUF, so that one write(2) is whole even when
 * several processes share a pipe: long texts are cut, and a field that does not fit is left out
 * and "truncated" says so. */
#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define LINE_MAX_BYTES 4096
#define TAIL_ROOM 32 /* ,"truncated":true}\n */
#define TEXT_MAX_BYTES 1500
#define TIME_ARENA_BYTES 256

/* Set once at start, read by all threads. */
static atomic_int lowest_level = HF_LOG_INFO;
static const char *_Atomic component_name;

struct line {
    size_t len;
    bool is_cut;
    char bytes[LINE_MAX_BYTES];
};

static bool put(struct line *line, const char *text)
{
    size_t len = strlen(text);

    if (len > LINE_MAX_BYTES - TAIL_ROOM - line->len) {
        line->is_cut = true;
        return false;
    }
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
    return true;
}

static bool put_json_text(struct line *line, const char *text)
{
    size_t left = strlen(text);
    size_t start = line->len;
    char step[HF_JSON_STEP];
    bool is_fit = put(line, "\"");

    while (left > 0 && is_fit) {
        if (line->len - start > TEXT_MAX_BYTES) {
            line->is_cut = true;
            break;
        }
        size_t used = hf_json_step(text, left, step);
        is_fit = put(line, step);
        text += used;
        left -= used;
    }
    return is_fit && put(line, "\"");
}

static bool put_key(struct line *line, const char *key)
{
    bool is_fit = line->len == 1 || put(line, ",");

    return is_fit && put_json_text(line, key) && put(line, ":");
}

static void put_text_field(struct line *line, const char *key, const char *text)
{
    size_t before = line->len;
    bool is_fit = put_key(line, key);

    is_fit = is_fit && (text == NULL ? put(line, "null") : put_json_text(line, text));
    if (!is_fit) {
        line->len = before;
    }
}

static void put_int_field(struct line *line, const char *key, int64_t number)
{
    size_t before = line->len;
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    if (!put_key(line, key) || !put(line, text)) {
        line->len = before;
    }
}

static void put_field(struct line *line, const struct hf_field *field)
{
    if (field->kind == HF_FIELD_INT) {
        put_int_field(line, field->key, field->number);
    } else {
        put_text_field(line, field->key, field->text);
    }
}

static void put_time(struct line *line)
{
    struct hf_arena *arena = hf_arena_new(TIME_ARENA_BYTES);

    put_text_field(line, "time", hf_time_text(arena, hf_now_us()));
    hf_arena_free(arena);
}

static void finish(struct line *line)
{
    const char *tail = line->is_cut ? ",\"truncated\":true}\n" : "}\n";
    size_t len = strlen(tail);

    memcpy(line->bytes + line->len, tail, len);
    line->len += len;
    /* A log that cannot be written has nobody to be told. */
    ssize_t written = write(STDERR_FILENO, line->bytes, line->len);
    (void)written;
}

void hf_log_fields(enum hf_log_level level, const struct hf_ctx *ctx, const struct hf_field *fields)
{
    static const char *const level_names[] = {"debug", "info", "warn", "error"};
    const char *component = component_name;
    struct line line;

    if ((int)level < atomic_load(&lowest_level)) {
        return;
    }
    line.len = 0;
    line.is_cut = false;
    (void)put(&line, "{");
    put_time(&line);
    put_text_field(&line, "level", level_names[level]);
    if (component != NULL) {
        put_text_field(&line, "component", component);
    }
    for (const struct hf_field *field = fields; field->kind != HF_FIELD_END; field++) {
        put_field(&line, field);
        if (field->kind == HF_FIELD_EVENT && ctx != NULL && ctx->trace != NULL) {
            put_text_field(&line, "trace", ctx->trace);
        }
    }
    finish(&line);
}

void hf_log_setup(enum hf_log_level level, const char *component)
{
    atomic_store(&lowest_level, (int)level);
    component_name = component;
}
