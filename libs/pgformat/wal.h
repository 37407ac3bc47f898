/* WAL positions, segment names and page headers of PostgreSQL 14 to 18. Pure.
 *
 * A segment number (segno) is LSN / segment size; its name depends on that size. An LSN exactly on
 * a boundary is the first byte of the next segment: a *stop* LSN there needs only the segment
 * before it, so ask pgf_wal_segno_before for ends.
 */
#ifndef HF_PGFORMAT_WAL_H
#define HF_PGFORMAT_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PGF_WAL_PAGE 8192
#define PGF_LSN_TEXT_LEN 17 /* "FFFFFFFF/FFFFFFFF" */
#define PGF_WAL_NAME_LEN 24
#define PGF_WAL_SEGMENT_MIN (UINT64_C(1) << 20)
#define PGF_WAL_SEGMENT_MAX (UINT64_C(1) << 30)

struct pgf_lsn_text {
    char text[PGF_LSN_TEXT_LEN + 1];
};
/* "16/B374D848". By value, so that it can be used in an argument: pgf_lsn(lsn).text. */
struct pgf_lsn_text pgf_lsn(uint64_t lsn);
/* Whole text, 1 to 8 hex digits each side of one slash. */
bool pgf_lsn_parse(const char *text, uint64_t *ret_lsn);

/* A power of two from 1 MiB to 1 GiB. */
bool pgf_wal_segment_size_ok(uint64_t bytes);

/* Segment that holds the byte at lsn. */
uint64_t pgf_wal_segno(uint64_t lsn, uint64_t segment_bytes);
/* Segment that holds the byte before lsn (lsn > 0): the last one needed to reach an end. */
uint64_t pgf_wal_segno_before(uint64_t lsn, uint64_t segment_bytes);
uint64_t pgf_wal_segment_start(uint64_t segno, uint64_t segment_bytes);

struct pgf_wal_name {
    char text[PGF_WAL_NAME_LEN + 1];
};
/* "000000010000001600000B37" style name. */
struct pgf_wal_name pgf_wal_name(uint32_t timeline, uint64_t segno, uint64_t segment_bytes);
/* False unless text is exactly such a name (upper-case hex) that fits the segment size. */
bool pgf_wal_name_parse(const char *text, uint64_t segment_bytes, uint32_t *ret_timeline,
                        uint64_t *ret_segno);
/* "00000002.history" → 2. */
bool pgf_history_name_parse(const char *text, uint32_t *ret_timeline);

#define PGF_WAL_SHORT_HEADER 24
#define PGF_WAL_LONG_HEADER 40

/* xlp_info bits. */
#define PGF_WAL_FIRST_IS_CONTRECORD 0x0001
#define PGF_WAL_LONG 0x0002
#define PGF_WAL_FIRST_IS_OVERWRITE 0x0008

struct pgf_wal_page {
    uint16_t magic;
    uint16_t info;
    uint32_t timeline;
    uint64_t lsn;           /* of the page's first byte, as it claims */
    uint32_t remaining_len; /* bytes of a record begun on an earlier page */
    uint32_t header_len;    /* PGF_WAL_SHORT_HEADER or PGF_WAL_LONG_HEADER */
    int server_major;       /* 14 … 18, from the magic */
    /* Long headers only, else 0: */
    uint64_t system_identifier;
    uint32_t segment_bytes;
    uint32_t block_bytes;
};

/* Major version of a page magic, 0 when unknown. */
int pgf_wal_magic_major(uint16_t magic);

/* Decode the header at the start of a page.
 * bytes    at least PGF_WAL_LONG_HEADER of them, or a whole short header
 * Errors   DATA_LOSS unknown magic or flags, bad sizes, cut off; a page of zeroes too */
struct hf_status pgf_wal_page_decode(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                     struct pgf_wal_page *ret_page) HF_MUST_USE;

/* What a page must be; 0 in a field: not checked. */
struct pgf_wal_expect {
    uint64_t lsn; /* of the page; always checked */
    uint64_t segment_bytes;
    uint64_t system_identifier;
    uint32_t timeline;
};
/* Judge a decoded header: position, long exactly at segment starts, system identifier and segment
 * size (long headers), timeline.  Errors  DATA_LOSS naming what differs */
struct hf_status pgf_wal_page_check(struct hf_arena *arena, const struct pgf_wal_page *page,
                                    const struct pgf_wal_expect *expect) HF_MUST_USE;

#endif
