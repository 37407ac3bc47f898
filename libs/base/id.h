/* Identifiers and randomness. */
#ifndef HF_BASE_ID_H
#define HF_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* getrandom(2); aborts when the kernel has none. */
void hf_random(void *ret_bytes, size_t len);

/* UUIDv7 (RFC 9562) of time_us, with 74 random bits. Text form is lower case with hyphens. */
struct hf_uuid {
    uint8_t bytes[16];
};
struct hf_uuid hf_uuid_new(int64_t time_us);
#define HF_UUID_TEXT_LEN 36
void hf_uuid_text(const struct hf_uuid *uuid, char ret_text[HF_UUID_TEXT_LEN + 1]);
int hf_uuid_parse(const char *text, struct hf_uuid *ret_uuid); /* 0 or -1 */
/* New UUIDv7 as text. */
char *hf_uuid_new_text(struct hf_arena *arena, int64_t time_us);

#endif
