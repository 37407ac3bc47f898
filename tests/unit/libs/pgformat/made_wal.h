/* WAL made in memory: pages, records, commits, restore points. */
#ifndef TESTS_MADE_WAL_H
#define TESTS_MADE_WAL_H

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "codec/hash.h"
#include "pgformat/le.h"
#include "pgformat/wal.h"
#include "pgformat/walrec.h"

#define SEGMENT (UINT64_C(1) << 20)
#define START SEGMENT /* WAL made here begins with segment 1 */
#define MADE_BYTES (4 * SEGMENT)
#define SYSTEM 4242

/* WAL in the making: image of MADE_BYTES from START on. */
struct made {
    uint8_t *image;
    uint64_t lsn; /* next byte */
    uint64_t prev;
    uint16_t magic;
    size_t readable; /* how much of the image the reader gives */
};

static inline uint8_t *at(struct made *made, uint64_t lsn)
{
    return made->image + (lsn - START);
}

static inline void page_begin(struct made *made, uint32_t remaining, uint16_t flags)
{
    uint8_t *p = at(made, made->lsn);
    bool is_long = made->lsn % SEGMENT == 0;
    uint16_t info = (uint16_t)(flags | (is_long ? PGF_WAL_LONG : 0));

    p[0] = (uint8_t)made->magic;
    p[1] = (uint8_t)(made->magic >> 8);
    p[2] = (uint8_t)info;
    pgf_put_le32(p + 4, 1);
    pgf_put_le64(p + 8, made->lsn);
    pgf_put_le32(p + 16, remaining);
    if (is_long) {
        pgf_put_le64(p + 24, SYSTEM);
        pgf_put_le32(p + 32, (uint32_t)SEGMENT);
        pgf_put_le32(p + 36, PGF_WAL_PAGE);
    }
    made->lsn += is_long ? PGF_WAL_LONG_HEADER : PGF_WAL_SHORT_HEADER;
}

static inline void bytes_put(struct made *made, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (made->lsn % PGF_WAL_PAGE == 0) {
            page_begin(made, (uint32_t)(len - i), PGF_WAL_FIRST_IS_CONTRECORD);
        }
        *at(made, made->lsn++) = bytes[i];
    }
    made->lsn = (made->lsn + 7) & ~UINT64_C(7);
}

/* A record with main data; returns its LSN. */
static inline uint64_t record_put(struct made *made, uint8_t rmid, uint8_t info, uint32_t xid,
                                  const uint8_t *data, uint32_t len)
{
    static uint8_t bytes[1 << 20];
    uint32_t total = 24 + 5 + len;
    uint64_t lsn;

    if (made->lsn % PGF_WAL_PAGE == 0) {
        page_begin(made, 0, 0);
    }
    lsn = made->lsn;
    memset(bytes, 0, 24);
    pgf_put_le32(bytes, total);
    pgf_put_le32(bytes + 4, xid);
    pgf_put_le64(bytes + 8, made->prev);
    bytes[16] = info;
    bytes[17] = rmid;
    bytes[24] = 254;
    pgf_put_le32(bytes + 25, len);
    if (len > 0) {
        memcpy(bytes + 29, data, len);
    }
    pgf_put_le32(bytes + 20, codec_crc32c(codec_crc32c(0, bytes + 24, total - 24), bytes, 20));
    made->prev = lsn;
    bytes_put(made, bytes, total);
    return lsn;
}

static inline uint64_t commit_put(struct made *made, uint32_t xid, int64_t time_us)
{
    uint8_t data[8];

    pgf_put_le64(data, (uint64_t)(time_us - HF_PG_EPOCH_US));
    return record_put(made, 1, 0, xid, data, sizeof(data));
}

static inline void filler_put(struct made *made, uint32_t len)
{
    static uint8_t data[1 << 20];

    record_put(made, 10, 0, 3, data, len);
}

static inline struct hf_status made_read(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                                         size_t *ret_len)
{
    struct made *made = arg;
    size_t from = (size_t)(lsn - START);
    size_t left = from < made->readable ? made->readable - from : 0;

    *ret_len = len < left ? len : left;
    memcpy(ret_bytes, made->image + from, *ret_len);
    return hf_success();
}

static inline struct made made_new(void)
{
    return (struct made){
        .image = hf_heap_alloc(MADE_BYTES), .lsn = START, .magic = 0xD110, .readable = MADE_BYTES};
}

static inline uint64_t restore_point_put(struct made *made, const char *name, int64_t time_us)
{
    uint8_t data[72] = {0};

    HF_CHECK(strlen(name) < 64);
    pgf_put_le64(data, (uint64_t)(time_us - HF_PG_EPOCH_US));
    memcpy(data + 8, name, strlen(name));
    return record_put(made, 0, 0x70, 0, data, sizeof(data));
}

#endif
