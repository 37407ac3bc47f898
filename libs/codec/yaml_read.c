/* Reading YAML through libyaml's events. Aliases, anchors and tags are refused as they come, so
 * memory stays in proportion to the text. */
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "codec/scalar.h"
#include "codec/tree.h"
#include "codec/yaml.h"

static void parser_delete_cleanup(yaml_parser_t *parser)
{
    yaml_parser_delete(parser);
}

static void event_delete_cleanup(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static int line_of(const yaml_event_t *event)
{
    return (int)event->start_mark.line + 1;
}

static void take_scalar(struct codec_tree *tree, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct codec_value value = {.kind = CODEC_TEXT};

    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        codec_tree_fault(tree, "anchors and tags are not taken");
        return;
    }
    if (codec_tree_needs_key(tree)) {
        codec_tree_key(tree, text, len);
        return;
    }
    const char *copy = codec_tree_text(tree, text, len);
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        const char *fault = codec_scalar_resolve(copy, &value);
        if (fault != NULL) {
            codec_tree_fault(tree, fault);
        }
    }
    value.text = copy;
    value.line = line_of(event);
    codec_tree_scalar(tree, value);
}

static void take_open(struct codec_tree *tree, const yaml_event_t *event, enum codec_kind kind,
                      bool is_plain)
{
    if (!is_plain) {
        codec_tree_fault(tree, "anchors and tags are not taken");
    }
    if (codec_tree_needs_key(tree)) {
        codec_tree_fault(tree, "a key must be text");
    }
    codec_tree_open(tree, kind, line_of(event));
}

static void take_event(struct codec_tree *tree, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        codec_tree_fault(tree, "aliases are not taken");
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(tree, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        take_open(tree, event, CODEC_ARRAY,
                  event->data.sequence_start.anchor == NULL &&
                      event->data.sequence_start.tag == NULL);
        break;
    case YAML_MAPPING_START_EVENT:
        take_open(tree, event, CODEC_OBJECT,
                  event->data.mapping_start.anchor == NULL &&
                      event->data.mapping_start.tag == NULL);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        codec_tree_close(tree);
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (tree->root != NULL) {
            codec_tree_fault(tree, "a second document follows");
        }
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

/* One event; ret_is_over at the end of the stream. */
static struct hf_status step(yaml_parser_t *parser, struct codec_tree *tree, const char *what,
                             bool *ret_is_over)
{
    HF_CLEANUP(event_delete) yaml_event_t event = {.type = YAML_NO_EVENT};

    if (yaml_parser_parse(parser, &event) == 0) {
        size_t line = parser->problem_mark.line + 1;
        return hf_fail(tree->arena, HF_INVALID_ARGUMENT, "%s: line %zu: %s", what, line,
                       parser->problem == NULL ? "no YAML" : parser->problem);
    }
    take_event(tree, &event);
    *ret_is_over = event.type == YAML_STREAM_END_EVENT;
    return codec_tree_status(tree, what, line_of(&event));
}

struct hf_status codec_yaml_parse(struct hf_arena *arena, struct hf_str text, const char *what,
                                  const struct codec_value **ret_value)
{
    static const struct codec_value empty = {.kind = CODEC_NULL};
    struct codec_tree tree;
    bool is_over = false;

    if (text.len > CODEC_MAX_TEXT_BYTES) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: it is larger than %zu bytes", what,
                       CODEC_MAX_TEXT_BYTES);
    }
    HF_CLEANUP(parser_delete) yaml_parser_t parser;
    HF_CHECK(yaml_parser_initialize(&parser) != 0);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr == NULL ? "" : text.ptr),
                                 text.len);
    codec_tree_init(&tree, arena);
    while (!is_over) {
        HF_TRY(step(&parser, &tree, what, &is_over));
    }
    *ret_value = tree.root == NULL ? &empty : tree.root;
    return hf_success();
}
