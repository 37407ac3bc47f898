/* Building and asking struct codec_value. Repeated keys are found by sorting when an object ends,
 * so that a hostile object of many keys costs n log n. */
#include "codec/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void codec_tree_init(struct codec_tree *tree, struct hf_arena *arena)
{
    tree->arena = arena;
    tree->fault = NULL;
    tree->is_exhausted = false;
    tree->depth = 0;
    tree->root = NULL;
}

void codec_tree_fault(struct codec_tree *tree, const char *fault)
{
    if (tree->fault == NULL) {
        tree->fault = fault;
    }
}

static void *tree_alloc(struct codec_tree *tree, size_t size)
{
    void *room = hf_try_alloc(tree->arena, size);

    if (room == NULL && tree->fault == NULL) {
        tree->is_exhausted = true;
        codec_tree_fault(tree, "it needs more memory than allowed");
    }
    return room;
}

/* Room for one more item of size bytes at the end of old; NULL after a fault. */
static void *grow(struct codec_tree *tree, void *old, struct codec_tree_level *level, size_t size)
{
    if (level->len < level->cap) {
        return old;
    }
    size_t cap = level->cap == 0 ? 4 : 2 * level->cap;
    void *room = tree_alloc(tree, cap * size);
    if (room != NULL) {
        if (level->len > 0) {
            memcpy(room, old, level->len * size);
        }
        level->cap = cap;
    }
    return room;
}

static void add_value(struct codec_tree *tree, const struct codec_value *value)
{
    if (tree->depth == 0) {
        tree->root = tree_alloc(tree, sizeof(*tree->root));
        if (tree->root != NULL) {
            *tree->root = *value;
        }
        return;
    }
    struct codec_tree_level *level = &tree->levels[tree->depth - 1];
    if (level->kind == CODEC_ARRAY) {
        struct codec_value *items = grow(tree, level->items, level, sizeof(*items));
        if (items != NULL) {
            level->items = items;
            level->items[level->len++] = *value;
        }
        return;
    }
    HF_CHECK(level->key != NULL);
    struct codec_member *members = grow(tree, level->members, level, sizeof(*members));
    if (members != NULL) {
        level->members = members;
        level->members[level->len++] = (struct codec_member){level->key, *value};
    }
    level->key = NULL;
}

void codec_tree_open(struct codec_tree *tree, enum codec_kind kind, int line)
{
    if (tree->fault == NULL && tree->depth == CODEC_MAX_DEPTH) {
        codec_tree_fault(tree, "it is nested deeper than 32 levels");
    }
    if (tree->fault == NULL) {
        tree->levels[tree->depth++] = (struct codec_tree_level){.kind = kind, .line = line};
    }
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_keys(struct codec_tree *tree, const struct codec_tree_level *level)
{
    const char **keys = level->len < 2 ? NULL : tree_alloc(tree, level->len * sizeof(*keys));

    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i < level->len; i++) {
        keys[i] = level->members[i].key;
    }
    qsort(keys, level->len, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < level->len; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0) {
            codec_tree_fault(tree, "a key stands twice in one object");
        }
    }
}

void codec_tree_close(struct codec_tree *tree)
{
    if (tree->fault != NULL) {
        return;
    }
    HF_CHECK(tree->depth > 0);
    const struct codec_tree_level *level = &tree->levels[--tree->depth];
    struct codec_value value = {
        .kind = level->kind,
        .items = level->items,
        .members = level->members,
        .len = level->len,
        .line = level->line,
    };
    if (level->kind == CODEC_OBJECT) {
        check_keys(tree, level);
    }
    if (tree->fault == NULL) {
        add_value(tree, &value);
    }
}

bool codec_tree_needs_key(const struct codec_tree *tree)
{
    return tree->depth > 0 && tree->levels[tree->depth - 1].kind == CODEC_OBJECT &&
           tree->levels[tree->depth - 1].key == NULL;
}

const char *codec_tree_text(struct codec_tree *tree, const char *text, size_t len)
{
    if (len > 0 && memchr(text, 0, len) != NULL) {
        codec_tree_fault(tree, "a text has a zero byte");
    }
    char *copy = tree->fault != NULL ? NULL : tree_alloc(tree, len + 1);
    if (copy == NULL) {
        return "";
    }
    if (len > 0) {
        memcpy(copy, text, len);
    }
    copy[len] = '\0';
    return copy;
}

void codec_tree_key(struct codec_tree *tree, const char *key, size_t len)
{
    const char *copy = codec_tree_text(tree, key, len);

    if (tree->fault == NULL) {
        HF_CHECK(codec_tree_needs_key(tree));
        tree->levels[tree->depth - 1].key = copy;
    }
}

void codec_tree_scalar(struct codec_tree *tree, struct codec_value value)
{
    if (tree->fault == NULL) {
        add_value(tree, &value);
    }
}

struct hf_status codec_tree_status(const struct codec_tree *tree, const char *what, int line)
{
    if (tree->fault == NULL) {
        return hf_success();
    }
    enum hf_code code = tree->is_exhausted ? HF_RESOURCE_EXHAUSTED : HF_INVALID_ARGUMENT;
    if (line == 0) {
        return hf_fail(tree->arena, code, "%s: %s", what, tree->fault);
    }
    return hf_fail(tree->arena, code, "%s: line %d: %s", what, line, tree->fault);
}

const struct codec_value *codec_value_get(const struct codec_value *value, const char *key)
{
    if (value == NULL || value->kind != CODEC_OBJECT) {
        return NULL;
    }
    for (size_t i = 0; i < value->len; i++) {
        if (strcmp(value->members[i].key, key) == 0) {
            return &value->members[i].value;
        }
    }
    return NULL;
}

const char *codec_value_text(const struct codec_value *value, const char *key)
{
    const struct codec_value *member = codec_value_get(value, key);

    return member != NULL && member->kind == CODEC_TEXT ? member->text : NULL;
}

int64_t codec_value_int(const struct codec_value *value, const char *key, int64_t fallback)
{
    const struct codec_value *member = codec_value_get(value, key);

    return member != NULL && member->kind == CODEC_INT ? member->number : fallback;
}

bool codec_value_bool(const struct codec_value *value, const char *key, bool fallback)
{
    const struct codec_value *member = codec_value_get(value, key);

    return member != NULL && member->kind == CODEC_BOOL ? member->boolean : fallback;
}

const char *codec_kind_name(enum codec_kind kind)
{
    static const char *const names[] = {
        [CODEC_NULL] = "null",     [CODEC_BOOL] = "true or false", [CODEC_INT] = "integer",
        [CODEC_DOUBLE] = "number", [CODEC_TEXT] = "text",          [CODEC_ARRAY] = "array",
        [CODEC_OBJECT] = "object",
    };

    return names[kind];
}
