/* Writing YAML through libyaml's emitter, which knows which texts may stand unquoted. It does not
 * know what a plain word would mean: those that would read as something else are quoted here. */
#include <inttypes.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "codec/scalar.h"
#include "codec/yaml.h"

static void emitter_delete_cleanup(yaml_emitter_t *emitter)
{
    yaml_emitter_delete(emitter);
}

static int write_to_buf(void *arg, unsigned char *bytes, size_t len)
{
    hf_buf_append(arg, bytes, len);
    return 1; /* a full buffer is told by hf_buf_status */
}

/* init's result says whether memory was there. */
static void emit(yaml_emitter_t *emitter, int init, yaml_event_t *event)
{
    HF_CHECK(init != 0);
    HF_CHECK(yaml_emitter_emit(emitter, event) != 0);
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, size_t len,
                        yaml_scalar_style_t style)
{
    yaml_event_t event;

    HF_CHECK(len <= INT32_MAX);
    emit(emitter,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1, 1,
                                      style),
         &event);
}

/* Would the word, standing plain, be read as text again? */
static bool is_plain_text(const char *text)
{
    struct codec_value value;
    bool is_text = codec_scalar_resolve(text, &value) == NULL && value.kind == CODEC_TEXT;

    for (const char *at = text; *at != '\0'; at++) {
        is_text = is_text && (uint8_t)*at >= 0x20;
    }
    return is_text;
}

/* The emitter refuses what is no UTF-8: U+FFFD stands for such bytes. */
static void append_clean(struct hf_buf *buf, struct hf_str text)
{
    char step[HF_JSON_STEP];

    while (text.len > 0) {
        size_t used = hf_json_step(text.ptr, text.len, step);
        if (step[0] == '\\') {
            hf_buf_append(buf, text.ptr, used);
        } else {
            hf_buf_text_append(buf, step);
        }
        text.ptr += used;
        text.len -= used;
    }
}

static void emit_text(yaml_emitter_t *emitter, const char *text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf clean = {0};
    struct hf_str view = hf_str_of(text);
    yaml_scalar_style_t style =
        is_plain_text(view.ptr) ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;

    hf_buf_init(&clean, CODEC_MAX_TEXT_BYTES * 3);
    append_clean(&clean, view);
    emit_scalar(emitter, hf_buf_text(&clean), clean.len, style);
}

static void emit_number(yaml_emitter_t *emitter, const struct codec_value *value)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 64);
    struct codec_json json = codec_json_open(&text, 0);
    codec_json_value(&json, value);
    emit_scalar(emitter, hf_buf_text(&text), text.len, YAML_PLAIN_SCALAR_STYLE);
}

static void emit_begin(yaml_emitter_t *emitter, const struct codec_value *value)
{
    yaml_event_t event;

    if (value->kind == CODEC_ARRAY) {
        yaml_sequence_style_t style =
            value->len == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
        emit(emitter, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style), &event);
    } else {
        yaml_mapping_style_t style =
            value->len == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
        emit(emitter, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style), &event);
    }
}

static void emit_end(yaml_emitter_t *emitter, const struct codec_value *value)
{
    yaml_event_t event;

    if (value->kind == CODEC_ARRAY) {
        emit(emitter, yaml_sequence_end_event_initialize(&event), &event);
    } else {
        emit(emitter, yaml_mapping_end_event_initialize(&event), &event);
    }
}

static void emit_value(yaml_emitter_t *emitter, const struct codec_value *value)
{
    switch (value->kind) {
    case CODEC_TEXT:
        emit_text(emitter, value->text);
        break;
    case CODEC_NULL:
    case CODEC_BOOL:
    case CODEC_INT:
    case CODEC_DOUBLE:
        emit_number(emitter, value);
        break;
    case CODEC_ARRAY:
    case CODEC_OBJECT:
        emit_begin(emitter, value);
        break;
    }
}

struct place {
    const struct codec_value *value;
    size_t next;
};

/* The next part of an open value, its key written; NULL when that value is over. */
static const struct codec_value *next_part(yaml_emitter_t *emitter, struct place *place)
{
    const struct codec_value *value = place->value;

    if (place->next == value->len) {
        return NULL;
    }
    size_t index = place->next++;
    if (value->kind == CODEC_ARRAY) {
        return &value->items[index];
    }
    emit_text(emitter, value->members[index].key);
    return &value->members[index].value;
}

static void emit_tree(yaml_emitter_t *emitter, const struct codec_value *value)
{
    struct place open[CODEC_MAX_DEPTH];
    size_t depth = 0;

    for (const struct codec_value *part = value; part != NULL || depth > 0;) {
        if (part == NULL) {
            emit_end(emitter, open[--depth].value);
        } else {
            emit_value(emitter, part);
            if (part->kind == CODEC_ARRAY || part->kind == CODEC_OBJECT) {
                HF_CHECK(depth < CODEC_MAX_DEPTH);
                open[depth++] = (struct place){part, 0};
            }
        }
        part = depth == 0 ? NULL : next_part(emitter, &open[depth - 1]);
    }
}

void codec_yaml_write(struct hf_buf *buf, const struct codec_value *value)
{
    HF_CLEANUP(emitter_delete) yaml_emitter_t emitter;
    yaml_event_t event;

    HF_CHECK(yaml_emitter_initialize(&emitter) != 0);
    yaml_emitter_set_output(&emitter, write_to_buf, buf);
    yaml_emitter_set_width(&emitter, -1);
    yaml_emitter_set_unicode(&emitter, 1);
    emit(&emitter, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    emit(&emitter, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    emit_tree(&emitter, value);
    emit(&emitter, yaml_document_end_event_initialize(&event, 1), &event);
    emit(&emitter, yaml_stream_end_event_initialize(&event), &event);
}
