/* The WAL record walker: pages in, records out.
 *
 * Surprise: a record's CRC covers its payload first and its header last, so a record of any size is
 * checked in one pass without being assembled; only ends of transactions and the like are kept.
 * The second: a crash may leave the first part of a record whose rest never came. The next page
 * then says "overwrite", and the walk goes on there as recovery does. */
#include "pgformat/walrec.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "codec/hash.h"
#include "pgformat/le.h"
#include "pgformat/wal.h"
#include "pgformat/xact.h"

#define BUFFER_BYTES (256 * 1024)
#define PAYLOAD_MAX (16 * 1024 * 1024)
#define RECORD_HEADER 24
#define RECORD_MAX (1020U * 1024 * 1024)

struct pgf_walk {
    struct pgf_walk_options options;
    uint8_t *buffer;
    uint64_t buffer_lsn;
    size_t buffer_len;
    struct pgf_wal_page page; /* the page last entered; lsn 0 and header_len 0: none */
    const uint8_t *page_bytes;
    size_t page_len; /* less than a page only where the WAL at hand ends */
    uint64_t lsn;    /* end of the last valid record */
    uint64_t last_lsn;
    uint64_t overwrite_lsn; /* page that replaces a record cut off by a crash; 0: none */
    enum pgf_wal_end end;
    struct hf_buf payload;
    struct pgf_xact_scratch scratch;
};

/* A record in progress: where reading stands and how much of it is left. */
struct cursor {
    uint64_t lsn;
    uint32_t left;
};

static const char *const end_texts[] = {
    [PGF_WAL_END_NONE] = "not ended",
    [PGF_WAL_END_OF_BYTES] = "end of the WAL at hand",
    [PGF_WAL_END_ZEROES] = "unused space",
    [PGF_WAL_END_LIMIT] = "limit reached",
    [PGF_WAL_END_BAD_PAGE] = "not a page of this WAL",
    [PGF_WAL_END_BAD_LENGTH] = "impossible record length",
    [PGF_WAL_END_BAD_LINK] = "record does not link to the one before",
    [PGF_WAL_END_BAD_CRC] = "record with a wrong CRC",
    [PGF_WAL_END_BAD_CONTINUATION] = "continuation of a record is missing",
};

const char *pgf_wal_end_text(enum pgf_wal_end end)
{
    return end_texts[end];
}

static uint64_t align8(uint64_t lsn)
{
    return (lsn + 7) & ~UINT64_C(7);
}

static uint64_t page_of(uint64_t lsn)
{
    return lsn & ~(uint64_t)(PGF_WAL_PAGE - 1);
}

/* Bytes of the page at page_lsn; 0 where the WAL at hand ends before it. */
static struct hf_status page_fetch(struct pgf_walk *walk, uint64_t page_lsn)
{
    uint64_t buffer_end = walk->buffer_lsn + walk->buffer_len;

    if (page_lsn < walk->buffer_lsn || page_lsn + PGF_WAL_PAGE > buffer_end) {
        size_t len = 0;

        HF_TRY(walk->options.reader.read(walk->options.reader.arg, page_lsn, walk->buffer,
                                         BUFFER_BYTES, &len));
        HF_CHECK(len <= BUFFER_BYTES);
        walk->buffer_lsn = page_lsn;
        walk->buffer_len = len;
        buffer_end = page_lsn + len;
    }
    walk->page_bytes = walk->buffer + (page_lsn - walk->buffer_lsn);
    walk->page_len = (size_t)(buffer_end - page_lsn);
    if (walk->page_len > PGF_WAL_PAGE) {
        walk->page_len = PGF_WAL_PAGE;
    }
    return hf_success();
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static enum pgf_wal_end page_judge(struct pgf_walk *walk, struct hf_arena *arena, uint64_t page_lsn,
                                   struct pgf_wal_page *ret_page)
{
    struct pgf_wal_expect expect = {.lsn = page_lsn,
                                    .segment_bytes = walk->options.segment_bytes,
                                    .system_identifier = walk->options.system_identifier};
    bool is_long = page_lsn % walk->options.segment_bytes == 0;
    size_t need = is_long ? PGF_WAL_LONG_HEADER : PGF_WAL_SHORT_HEADER;

    if (walk->page_len < need) {
        return PGF_WAL_END_OF_BYTES;
    }
    if (is_zero(walk->page_bytes, need)) {
        return PGF_WAL_END_ZEROES;
    }
    if (!hf_is_ok(pgf_wal_page_decode(arena, walk->page_bytes, walk->page_len, ret_page)) ||
        !hf_is_ok(pgf_wal_page_check(arena, ret_page, &expect)) ||
        ret_page->timeline < walk->page.timeline ||
        (walk->page.server_major != 0 && walk->page.server_major != ret_page->server_major)) {
        return PGF_WAL_END_BAD_PAGE;
    }
    return PGF_WAL_END_NONE;
}

/* Make the page at page_lsn current. walk->end is set when there is none. */
static struct hf_status page_enter(struct pgf_walk *walk, struct hf_arena *arena, uint64_t page_lsn)
{
    struct pgf_wal_page page = {0};

    if (walk->page.lsn == page_lsn && walk->page.header_len != 0) {
        return hf_success();
    }
    HF_TRY(page_fetch(walk, page_lsn));
    walk->end = page_judge(walk, arena, page_lsn, &page);
    if (walk->end == PGF_WAL_END_NONE) {
        walk->page = page;
    }
    return hf_success();
}

/* Step over the page boundary inside a record: the next page must continue just this record. */
static struct hf_status page_continue(struct pgf_walk *walk, struct hf_arena *arena,
                                      struct cursor *cursor)
{
    HF_TRY(page_enter(walk, arena, cursor->lsn));
    if (walk->end != PGF_WAL_END_NONE) {
        return hf_success();
    }
    if ((walk->page.info & PGF_WAL_FIRST_IS_OVERWRITE) != 0) {
        walk->overwrite_lsn = cursor->lsn;
        walk->end = PGF_WAL_END_BAD_CONTINUATION;
    } else if ((walk->page.info & PGF_WAL_FIRST_IS_CONTRECORD) == 0 ||
               walk->page.remaining_len != cursor->left) {
        walk->end = PGF_WAL_END_BAD_CONTINUATION;
    }
    cursor->lsn += walk->page.header_len;
    return hf_success();
}

/* Next contiguous piece of the record, at most want bytes; len 0 when walk->end was set. */
static struct hf_status piece_take(struct pgf_walk *walk, struct hf_arena *arena,
                                   struct cursor *cursor, uint32_t want, struct hf_bytes *ret_piece)
{
    size_t offset, len;

    *ret_piece = (struct hf_bytes){NULL, 0};
    if (cursor->lsn % PGF_WAL_PAGE == 0) {
        HF_TRY(page_continue(walk, arena, cursor));
        if (walk->end != PGF_WAL_END_NONE) {
            return hf_success();
        }
    }
    offset = (size_t)(cursor->lsn % PGF_WAL_PAGE);
    if (offset >= walk->page_len) {
        walk->end = PGF_WAL_END_OF_BYTES;
        return hf_success();
    }
    len = walk->page_len - offset;
    if (len > want) {
        len = want;
    }
    *ret_piece = (struct hf_bytes){walk->page_bytes + offset, len};
    cursor->lsn += len;
    cursor->left -= (uint32_t)len;
    return hf_success();
}

static struct hf_status header_gather(struct pgf_walk *walk, struct hf_arena *arena,
                                      struct cursor *cursor, uint8_t ret_header[RECORD_HEADER])
{
    uint32_t got = 0;

    while (got < RECORD_HEADER && walk->end == PGF_WAL_END_NONE) {
        struct hf_bytes piece;

        HF_TRY(piece_take(walk, arena, cursor, RECORD_HEADER - got, &piece));
        if (piece.len > 0) {
            memcpy(ret_header + got, piece.ptr, piece.len);
        }
        got += (uint32_t)piece.len;
    }
    return hf_success();
}

static enum pgf_wal_end header_judge(const struct pgf_walk *walk, uint64_t lsn,
                                     const struct pgf_walrec *rec)
{
    if (walk->last_lsn != 0 ? rec->prev_lsn != walk->last_lsn : rec->prev_lsn >= lsn) {
        return PGF_WAL_END_BAD_LINK;
    }
    return PGF_WAL_END_NONE;
}

/* The rest of the record: its CRC, and its bytes when they are wanted. */
static struct hf_status payload_take(struct pgf_walk *walk, struct hf_arena *arena,
                                     struct cursor *cursor, bool is_wanted, uint32_t *ret_crc)
{
    uint32_t crc = 0;

    hf_buf_clear(&walk->payload);
    while (cursor->left > 0 && walk->end == PGF_WAL_END_NONE) {
        struct hf_bytes piece;

        HF_TRY(piece_take(walk, arena, cursor, cursor->left, &piece));
        if (piece.len > 0) {
            crc = codec_crc32c(crc, piece.ptr, piece.len);
            if (is_wanted) {
                hf_buf_append(&walk->payload, piece.ptr, piece.len);
            }
        }
    }
    *ret_crc = crc;
    return hf_success();
}

/* The record that begins at rec->lsn. walk->end is set when it is none. */
static struct hf_status record_read(struct pgf_walk *walk, struct hf_arena *arena,
                                    struct pgf_walrec *rec)
{
    struct cursor cursor = {rec->lsn, 0};
    size_t offset = (size_t)(rec->lsn % PGF_WAL_PAGE);
    uint8_t header[RECORD_HEADER] = {0};
    uint32_t crc;

    if (offset + 4 > walk->page_len) {
        walk->end = PGF_WAL_END_OF_BYTES;
        return hf_success();
    }
    rec->total_len = pgf_le32(walk->page_bytes + offset);
    if (rec->total_len < RECORD_HEADER || rec->total_len > RECORD_MAX) {
        walk->end = rec->total_len == 0 ? PGF_WAL_END_ZEROES : PGF_WAL_END_BAD_LENGTH;
        return hf_success();
    }
    cursor.left = rec->total_len;
    HF_TRY(header_gather(walk, arena, &cursor, header));
    if (walk->end != PGF_WAL_END_NONE) {
        return hf_success();
    }
    rec->xid = pgf_le32(header + 4);
    rec->prev_lsn = pgf_le64(header + 8);
    rec->info = header[16];
    rec->rmid = header[17];
    walk->end = header_judge(walk, rec->lsn, rec);
    HF_TRY(payload_take(walk, arena, &cursor, pgf_xact_is_wanted(rec), &crc));
    if (walk->end == PGF_WAL_END_NONE && codec_crc32c(crc, header, 20) != pgf_le32(header + 20)) {
        walk->end = PGF_WAL_END_BAD_CRC;
    }
    rec->end_lsn = align8(cursor.lsn);
    return hf_success();
}

/* First page of a walk that does not know where records begin: skip the tail of one that began
 * earlier. */
static struct hf_status first_find(struct pgf_walk *walk, struct hf_arena *arena, uint64_t *lsn)
{
    while (walk->end == PGF_WAL_END_NONE) {
        uint64_t room;

        HF_TRY(page_enter(walk, arena, *lsn));
        if (walk->end != PGF_WAL_END_NONE) {
            return hf_success();
        }
        room = PGF_WAL_PAGE - walk->page.header_len;
        if ((walk->page.info & PGF_WAL_FIRST_IS_CONTRECORD) == 0 ||
            align8(walk->page.remaining_len) < room) {
            break;
        }
        *lsn += PGF_WAL_PAGE;
    }
    *lsn += walk->page.header_len;
    if ((walk->page.info & PGF_WAL_FIRST_IS_CONTRECORD) != 0) {
        *lsn += align8(walk->page.remaining_len);
    }
    return hf_success();
}

/* Position of the next record: after the page header when it falls on a page's start. */
static struct hf_status position_next(struct pgf_walk *walk, struct hf_arena *arena,
                                      uint64_t *ret_lsn)
{
    uint64_t lsn = walk->lsn;

    if (walk->last_lsn == 0 && walk->options.is_find_first) {
        HF_TRY(first_find(walk, arena, &lsn));
    } else {
        HF_TRY(page_enter(walk, arena, page_of(lsn)));
        if (walk->end != PGF_WAL_END_NONE) {
            return hf_success();
        }
        if (lsn % PGF_WAL_PAGE == 0) {
            lsn += walk->page.header_len;
        }
        if (lsn % PGF_WAL_PAGE < walk->page.header_len || lsn % 8 != 0) {
            walk->end = PGF_WAL_END_BAD_LENGTH;
        } else if (lsn % PGF_WAL_PAGE == walk->page.header_len &&
                   (walk->page.info & PGF_WAL_FIRST_IS_CONTRECORD) != 0) {
            walk->end = PGF_WAL_END_BAD_CONTINUATION;
        }
    }
    *ret_lsn = lsn;
    return hf_success();
}

struct pgf_walk *pgf_walk_new(const struct pgf_walk_options *options)
{
    struct pgf_walk *walk = hf_heap_alloc(sizeof(*walk));

    HF_CHECK(pgf_wal_segment_size_ok(options->segment_bytes));
    HF_CHECK(!options->is_find_first || options->start_lsn % PGF_WAL_PAGE == 0);
    walk->options = *options;
    walk->buffer = hf_heap_alloc(BUFFER_BYTES);
    walk->lsn = options->start_lsn;
    hf_buf_init(&walk->payload, PAYLOAD_MAX);
    return walk;
}

void pgf_walk_free(struct pgf_walk *walk)
{
    if (walk != NULL) {
        hf_buf_done(&walk->payload);
        hf_heap_free(walk->buffer);
        hf_heap_free(walk);
    }
}

static struct hf_status record_try(struct pgf_walk *walk, struct hf_arena *arena,
                                   struct pgf_walrec *rec)
{
    HF_TRY(position_next(walk, arena, &rec->lsn));
    if (walk->end == PGF_WAL_END_NONE && walk->options.stop_lsn != 0 &&
        rec->lsn >= walk->options.stop_lsn) {
        walk->end = PGF_WAL_END_LIMIT;
    }
    if (walk->end == PGF_WAL_END_NONE) {
        HF_TRY(record_read(walk, arena, rec));
    }
    return hf_success();
}

struct hf_status pgf_walk_next(struct pgf_walk *walk, struct hf_arena *arena,
                               struct pgf_walrec *ret_rec, bool *ret_has)
{
    struct pgf_walrec rec = {.name = ""};

    *ret_has = false;
    if (walk->end == PGF_WAL_END_NONE) {
        HF_TRY(record_try(walk, arena, &rec));
    }
    while (walk->overwrite_lsn != 0) {
        walk->lsn = walk->overwrite_lsn;
        walk->overwrite_lsn = 0;
        walk->end = PGF_WAL_END_NONE;
        rec = (struct pgf_walrec){.name = ""};
        HF_TRY(record_try(walk, arena, &rec));
    }
    if (walk->end != PGF_WAL_END_NONE) {
        return hf_success();
    }
    if (pgf_xact_is_wanted(&rec)) {
        pgf_xact_decode(&walk->scratch, walk->page.server_major,
                        (struct hf_bytes){walk->payload.ptr, walk->payload.len}, &rec);
    }
    if (rec.what == PGF_REC_SWITCH) {
        uint64_t segment = walk->options.segment_bytes;

        rec.end_lsn = (rec.end_lsn + segment - 1) / segment * segment;
    }
    walk->last_lsn = rec.lsn;
    walk->lsn = rec.end_lsn;
    *ret_rec = rec;
    *ret_has = true;
    return hf_success();
}

enum pgf_wal_end pgf_walk_end(const struct pgf_walk *walk)
{
    return walk->end;
}

uint64_t pgf_walk_lsn(const struct pgf_walk *walk)
{
    return walk->lsn;
}
