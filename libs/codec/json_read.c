/* Reading JSON through jansson into our tree.
 *
 * Surprise: the text is looked over once before jansson sees it. jansson recurses 2048 levels deep
 * and has no limit of memory, so depth and number of values are bounded here first. */
#include <jansson.h>

#include "base/check.h"
#include "codec/tree.h"

#define MAX_VALUES ((size_t)1 << 20)

HF_DEFINE_CLEANUP(json_t *, json_decref)

/* Depth and number of values, as far as brackets and commas outside of strings tell. */
struct shape {
    size_t depth;
    size_t max_depth;
    size_t values;
};

static void shape_add(struct shape *shape, char c)
{
    if (c == '[' || c == '{') {
        shape->depth++;
        shape->values++;
        shape->max_depth = shape->depth > shape->max_depth ? shape->depth : shape->max_depth;
    } else if (c == ']' || c == '}') {
        shape->depth -= shape->depth > 0 ? 1 : 0;
    } else if (c == ',' || c == ':') {
        shape->values++;
    }
}

static struct shape shape_of(struct hf_str text)
{
    struct shape shape = {0};
    bool is_quoted = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted) {
            shape_add(&shape, c);
        }
    }
    return shape;
}

static struct hf_status check_shape(struct hf_arena *arena, struct hf_str text, const char *what)
{
    struct shape shape = shape_of(text);

    if (text.len > CODEC_MAX_TEXT_BYTES) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: it is larger than %zu bytes", what,
                       CODEC_MAX_TEXT_BYTES);
    }
    if (shape.max_depth > CODEC_MAX_DEPTH) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: it is nested deeper than %d levels", what,
                       CODEC_MAX_DEPTH);
    }
    if (shape.values > MAX_VALUES) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: it has more than %zu values", what,
                       MAX_VALUES);
    }
    return hf_success();
}

static struct codec_value leaf_of(struct codec_tree *tree, const json_t *json)
{
    struct codec_value value = {.kind = CODEC_NULL};

    switch (json_typeof(json)) {
    case JSON_STRING:
        value.kind = CODEC_TEXT;
        value.text = codec_tree_text(tree, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        value.kind = CODEC_INT;
        value.number = json_integer_value(json);
        break;
    case JSON_REAL:
        value.kind = CODEC_DOUBLE;
        value.real = json_real_value(json);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        value.kind = CODEC_BOOL;
        value.boolean = json_is_true(json);
        break;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return value;
}

struct place {
    json_t *json;
    size_t next; /* array */
    void *iter;  /* object */
};

/* The next part of an open value, its key taken; NULL when it is over. */
static json_t *next_part(struct codec_tree *tree, struct place *place)
{
    if (json_is_array(place->json)) {
        return json_array_get(place->json, place->next++);
    }
    if (place->iter == NULL) {
        return NULL;
    }
    const char *key = json_object_iter_key(place->iter);
    json_t *part = json_object_iter_value(place->iter);
    codec_tree_key(tree, key, hf_str_of(key).len);
    place->iter = json_object_iter_next(place->json, place->iter);
    return part;
}

static void convert(struct codec_tree *tree, json_t *root)
{
    struct place open[CODEC_MAX_DEPTH];
    size_t depth = 0;

    for (json_t *part = root; (part != NULL || depth > 0) && tree->fault == NULL;) {
        if (part == NULL) {
            codec_tree_close(tree);
            depth--;
        } else if (json_is_array(part) || json_is_object(part)) {
            HF_CHECK(depth < CODEC_MAX_DEPTH);
            codec_tree_open(tree, json_is_array(part) ? CODEC_ARRAY : CODEC_OBJECT, 0);
            open[depth++] = (struct place){part, 0, json_object_iter(part)};
        } else {
            codec_tree_scalar(tree, leaf_of(tree, part));
        }
        part = depth == 0 ? NULL : next_part(tree, &open[depth - 1]);
    }
}

struct hf_status codec_json_parse(struct hf_arena *arena, struct hf_str text, const char *what,
                                  const struct codec_value **ret_value)
{
    struct codec_tree tree;
    json_error_t error;

    HF_TRY(check_shape(arena, text, what));
    HF_CLEANUP(json_decref)
    json_t *root = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s: line %d: %s", what, error.line, error.text);
    }
    codec_tree_init(&tree, arena);
    convert(&tree, root);
    HF_TRY(codec_tree_status(&tree, what, 0));
    *ret_value = tree.root;
    return hf_success();
}
