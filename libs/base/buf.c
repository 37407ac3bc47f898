/* Growable bytes with a ceiling. One byte more than cap is always allocated, so that hf_buf_text
 * can terminate a full buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define FIRST_CAP 256

void hf_buf_init(struct hf_buf *buf, size_t max)
{
    HF_CHECK(max < SIZE_MAX / 2);
    *buf = (struct hf_buf){.max = max};
}

void hf_buf_done(struct hf_buf *buf)
{
    hf_heap_free(buf->ptr);
    *buf = (struct hf_buf){.max = buf->max};
}

void hf_buf_clear(struct hf_buf *buf)
{
    buf->len = 0;
    buf->is_full = false;
}

uint8_t *hf_buf_extend(struct hf_buf *buf, size_t len)
{
    if (buf->is_full || len > buf->max - buf->len) {
        buf->is_full = true;
        return NULL;
    }
    size_t need = buf->len + len;
    if (need > buf->cap || buf->ptr == NULL) {
        size_t cap = buf->cap < FIRST_CAP ? FIRST_CAP : 2 * buf->cap;
        cap = cap > buf->max ? buf->max : cap;
        buf->cap = cap < need ? need : cap;
        buf->ptr = hf_heap_grow(buf->ptr, buf->cap + 1);
    }
    uint8_t *room = buf->ptr + buf->len;
    buf->len = need;
    return room;
}

void hf_buf_append(struct hf_buf *buf, const void *bytes, size_t len)
{
    uint8_t *room = len == 0 ? NULL : hf_buf_extend(buf, len);

    if (room != NULL) {
        memcpy(room, bytes, len);
    }
}

void hf_buf_text_append(struct hf_buf *buf, const char *text)
{
    hf_buf_append(buf, text, strlen(text));
}

void hf_buf_printf(struct hf_buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    HF_CHECK(len >= 0);
    /* vsnprintf writes a NUL behind the text: the one spare byte of the allocation. */
    uint8_t *room = hf_buf_extend(buf, (size_t)len);
    if (room != NULL) {
        va_start(args, format);
        HF_CHECK(vsnprintf((char *)room, (size_t)len + 1, format, args) == len);
        va_end(args);
    }
}

const char *hf_buf_text(struct hf_buf *buf)
{
    if (buf->ptr == NULL) {
        return "";
    }
    buf->ptr[buf->len] = '\0';
    return (const char *)buf->ptr;
}

struct hf_status hf_buf_status(const struct hf_buf *buf, struct hf_arena *arena, const char *what)
{
    if (!buf->is_full) {
        return hf_success();
    }
    return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "%s is larger than %zu bytes", what, buf->max);
}
