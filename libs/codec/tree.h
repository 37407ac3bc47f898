/* Inside codec only: the builder of struct codec_value, shared by the JSON and YAML readers.
 *
 * It is fed like a stream (open, key, scalar, close) and bounds depth, memory and keys. The first
 * fault sticks; later calls do nothing.
 */
#ifndef HF_CODEC_TREE_H
#define HF_CODEC_TREE_H

#include "codec/json.h"

struct codec_tree_level {
    enum codec_kind kind;
    int line;
    struct codec_value *items;
    struct codec_member *members;
    size_t len;
    size_t cap;
    const char *key; /* of the member whose value comes next */
};

struct codec_tree {
    struct hf_arena *arena;
    const char *fault; /* NULL while all is well; static text */
    bool is_exhausted; /* the fault is the arena's limit */
    size_t depth;
    struct codec_value *root;
    struct codec_tree_level levels[CODEC_MAX_DEPTH];
};

/* Without levels: they are set when opened. */
void codec_tree_init(struct codec_tree *tree, struct hf_arena *arena);
void codec_tree_fault(struct codec_tree *tree, const char *fault);
void codec_tree_open(struct codec_tree *tree, enum codec_kind kind, int line);
void codec_tree_close(struct codec_tree *tree);
/* Does the next scalar stand for a key? */
bool codec_tree_needs_key(const struct codec_tree *tree);
void codec_tree_key(struct codec_tree *tree, const char *key, size_t len);
/* value's text must be in the arena already: codec_tree_text. */
void codec_tree_scalar(struct codec_tree *tree, struct codec_value value);
/* Copy of a text; "" after a fault. A NUL inside is a fault. */
const char *codec_tree_text(struct codec_tree *tree, const char *text, size_t len);
/* INVALID_ARGUMENT or RESOURCE_EXHAUSTED "what: line N: fault" (line 0 is left out). */
struct hf_status codec_tree_status(const struct codec_tree *tree, const char *what,
                                   int line) HF_MUST_USE;

#endif
