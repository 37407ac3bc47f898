/* Growable byte buffer on the heap with a stated ceiling. Appending beyond the ceiling sets
 * is_full and drops the bytes: check once at the end with hf_buf_status. */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

struct hf_buf {
    uint8_t *ptr; /* owned; not NUL-terminated unless hf_buf_text was called */
    size_t len;
    size_t cap;
    size_t max;
    bool is_full;
};

void hf_buf_init(struct hf_buf *buf, size_t max);
void hf_buf_done(struct hf_buf *buf); /* accepts a zeroed struct, repeatable */
void hf_buf_clear(struct hf_buf *buf);
void hf_buf_append(struct hf_buf *buf, const void *bytes, size_t len);
void hf_buf_text_append(struct hf_buf *buf, const char *text);
void hf_buf_printf(struct hf_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for len more bytes at the end, counted at once; NULL when full. */
uint8_t *hf_buf_extend(struct hf_buf *buf, size_t len);
/* NUL-terminates (not counted) and returns the text; never NULL. */
const char *hf_buf_text(struct hf_buf *buf);
/* RESOURCE_EXHAUSTED "… is larger than max bytes" when something was dropped. */
struct hf_status hf_buf_status(const struct hf_buf *buf, struct hf_arena *arena,
                               const char *what) HF_MUST_USE;

static inline void hf_buf_done_cleanup(struct hf_buf *buf)
{
    hf_buf_done(buf);
}

#endif
