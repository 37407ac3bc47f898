/* JSON lines to stderr, so many of each event. A line never exceeds PIPE_BUF, so that one write(2)
 * is whole even when several processes share a pipe: long texts are cut, and a field that does not
 * fit is left out and "truncated" says so. */
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
#define INTERVAL_US (HF_US_PER_S / 10) /* of an event's lines, in the long run */
#define BURST_LINES 200
#define GATES 256 /* events that hash to one gate share it: they are fewer than its lines */

/* Set once at start, read by all threads. */
static atomic_int lowest_level = HF_LOG_INFO;
static const char *_Atomic component_name;

/* Of an event: the time at which the burst is used up, and what was not written. */
struct gate {
    _Atomic int64_t used_us; /* monotonic */
    _Atomic int64_t suppressed;
};

static struct gate gates[GATES];
static _Atomic int64_t dropped_lines;

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

/* What was lost before this line; told once, so it is taken back when the line is lost, too. */
struct lost {
    int64_t suppressed;
    int64_t dropped;
};

static struct lost put_lost(struct line *line, struct gate *gate)
{
    const struct lost lost = {atomic_exchange(&gate->suppressed, 0),
                              atomic_exchange(&dropped_lines, 0)};

    if (lost.suppressed > 0) {
        put_int_field(line, "suppressed", lost.suppressed);
    }
    if (lost.dropped > 0) {
        put_int_field(line, "dropped", lost.dropped);
    }
    return lost;
}

static void finish(struct line *line, struct gate *gate)
{
    const struct lost lost = put_lost(line, gate);
    const char *tail = line->is_cut ? ",\"truncated\":true}\n" : "}\n";
    size_t len = strlen(tail);

    memcpy(line->bytes + line->len, tail, len);
    line->len += len;
    /* A log that cannot be written has nobody to be told but its own next line. */
    if (write(STDERR_FILENO, line->bytes, line->len) != (ssize_t)line->len) {
        (void)atomic_fetch_add(&gate->suppressed, lost.suppressed);
        (void)atomic_fetch_add(&dropped_lines, lost.dropped + 1);
    }
}

/* FNV-1a */
static struct gate *gate_of(const struct hf_field *fields)
{
    const char *name = fields->kind == HF_FIELD_EVENT && fields->text != NULL ? fields->text : "";
    uint32_t hash = 2166136261U;

    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    }
    return &gates[hash % GATES];
}

/* May one more pass? Each line uses an interval of time, and a burst of them may be used ahead. */
static bool pass(struct gate *gate)
{
    int64_t now_us = hf_mono_us();
    int64_t used_us = atomic_load(&gate->used_us);
    int64_t next_us = 0;

    do {
        next_us = (used_us > now_us ? used_us : now_us) + INTERVAL_US;
        if (next_us - now_us > BURST_LINES * INTERVAL_US) {
            (void)atomic_fetch_add(&gate->suppressed, 1);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&gate->used_us, &used_us, next_us));
    return true;
}

void hf_log_fields(enum hf_log_level level, const struct hf_ctx *ctx, const struct hf_field *fields)
{
    static const char *const level_names[] = {"debug", "info", "warn", "error"};
    const char *component = component_name;
    struct line line;

    if ((int)level < atomic_load(&lowest_level)) {
        return;
    }
    struct gate *gate = gate_of(fields);
    if (!pass(gate)) {
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
    finish(&line, gate);
}

void hf_log_setup(enum hf_log_level level, const char *component)
{
    atomic_store(&lowest_level, (int)level);
    component_name = component;
}
