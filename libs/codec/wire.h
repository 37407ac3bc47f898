/* Tiny bounded binary form of our own records: vault roots, maps, journal bodies.
 *
 * Writing appends to an hf_buf (its ceiling is the limit; hf_buf_status at the end). Reading moves
 * a cursor over borrowed bytes; the first fault sticks, later reads give zero values, so that a
 * decoder reads a whole record and asks codec_wire_status once. Loops over counts must use
 * codec_wire_get_count, which is bounded by what the remaining bytes can hold.
 *
 *   u64, bool  LEB128 varint, shortest form only, at most 10 bytes
 *   i64        zigzag, then varint
 *   be32/be64  fixed, big-endian
 *   bytes/text varint length, then the bytes; text has no NUL inside and is UTF-8 by contract only
 *
 * Threads: any; pure but for the cursor.
 */
#ifndef HF_CODEC_WIRE_H
#define HF_CODEC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

void codec_wire_put_u8(struct hf_buf *buf, uint8_t value);
void codec_wire_put_bool(struct hf_buf *buf, bool value);
void codec_wire_put_u64(struct hf_buf *buf, uint64_t value);
void codec_wire_put_i64(struct hf_buf *buf, int64_t value);
void codec_wire_put_be32(struct hf_buf *buf, uint32_t value);
void codec_wire_put_be64(struct hf_buf *buf, uint64_t value);
/* Fixed length, no prefix: digests, ids. */
void codec_wire_put_raw(struct hf_buf *buf, const void *bytes, size_t len);
void codec_wire_put_bytes(struct hf_buf *buf, const void *bytes, size_t len);
void codec_wire_put_text(struct hf_buf *buf, const char *text); /* NULL is written as "" */

struct codec_wire {
    const uint8_t *ptr; /* borrowed */
    size_t len;
    size_t pos;
    const char *fault; /* NULL while all is well; static text */
};

/* bytes stay borrowed while the cursor, or a view got from it, is used. */
struct codec_wire codec_wire_open(const void *bytes, size_t len);

uint8_t codec_wire_get_u8(struct codec_wire *wire);
bool codec_wire_get_bool(struct codec_wire *wire); /* other than 0 and 1 is a fault */
uint64_t codec_wire_get_u64(struct codec_wire *wire);
int64_t codec_wire_get_i64(struct codec_wire *wire);
uint32_t codec_wire_get_be32(struct codec_wire *wire);
uint64_t codec_wire_get_be64(struct codec_wire *wire);
/* A u64 that must be ≤ max; 0 and a fault otherwise. */
uint64_t codec_wire_get_max(struct codec_wire *wire, uint64_t max);
/* A varint count of items that take at least item_bytes (≥ 1) each: ≤ max and ≤ what is left. */
size_t codec_wire_get_count(struct codec_wire *wire, size_t max, size_t item_bytes);
/* len bytes copied out; zeroed on a fault. */
void codec_wire_get_raw(struct codec_wire *wire, void *ret_bytes, size_t len);
/* A view of len bytes without prefix; {NULL, 0} on a fault. */
struct hf_bytes codec_wire_get_view(struct codec_wire *wire, size_t len);
/* Length-prefixed view, at most max bytes; {NULL, 0} on a fault. */
struct hf_bytes codec_wire_get_bytes(struct codec_wire *wire, size_t max);
/* Length-prefixed text copied to arena, at most max bytes (hf_try_alloc: the arena's limit is a
 * fault, too). "" on a fault, never NULL. */
const char *codec_wire_get_text(struct codec_wire *wire, struct hf_arena *arena, size_t max);

/* Bytes not read yet; 0 after a fault. */
size_t codec_wire_left(const struct codec_wire *wire);
/* A decoder's own fault ("unknown record kind"); the first one sticks. fault is static text. */
void codec_wire_fault(struct codec_wire *wire, const char *fault);
/* DATA_LOSS "what: <fault> at byte N" after a fault, else OK. */
struct hf_status codec_wire_status(const struct codec_wire *wire, struct hf_arena *arena,
                                   const char *what) HF_MUST_USE;
/* The same, and all bytes must have been read. */
struct hf_status codec_wire_finish(const struct codec_wire *wire, struct hf_arena *arena,
                                   const char *what) HF_MUST_USE;

#endif
