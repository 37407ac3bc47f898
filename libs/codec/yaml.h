/* YAML in and out of the same tree as JSON. The library behind it (libyaml) is not visible here.
 *
 * Reading takes one document of block or flow style. Anchors, aliases, tags and a second document
 * are refused: none is needed in a configuration, and aliases make small texts large. Plain
 * scalars follow YAML 1.2's core schema: true, false, null, ~, integers, decimals; everything else
 * (also yes, no, on, off, 0x10, 1_000) is text.
 *
 * Threads: any; pure but for buffer and arena.
 */
#ifndef HF_CODEC_YAML_H
#define HF_CODEC_YAML_H

#include "codec/json.h"

/* At most CODEC_MAX_TEXT_BYTES, depth ≤ CODEC_MAX_DEPTH; an empty text is CODEC_NULL.
 * Errors   INVALID_ARGUMENT "what: line 3: …"; RESOURCE_EXHAUSTED too large for the arena */
struct hf_status codec_yaml_parse(struct hf_arena *arena, struct hf_str text, const char *what,
                                  const struct codec_value **ret_value) HF_MUST_USE;

/* Append value as one document in block style, ended by a newline; codec_yaml_parse of it gives
 * the same tree. Full buffers are seen by hf_buf_status. */
void codec_yaml_write(struct hf_buf *buf, const struct codec_value *value);

#endif
