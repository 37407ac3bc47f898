/* WAL positions, names and page headers. Surprise: a segment's name is not its number in hex: the
 * number is split at 4 GiB of WAL, so it depends on the segment size. */
#include "pgformat/wal.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pgformat/history.h"
#include "pgformat/le.h"

#define WAL_ALL_FLAGS 0x000F

static const struct {
    uint16_t magic;
    int major;
} wal_magics[] = {{0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}};

struct pgf_lsn_text pgf_lsn(uint64_t lsn)
{
    struct pgf_lsn_text out;

    snprintf(out.text, sizeof(out.text), "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
    return out;
}

/* Hex digits up to stop; false unless 1 to max of them and then stop. */
static bool hex_parse(const char **text, size_t max, char stop, uint32_t *ret)
{
    const char *p = *text;
    uint32_t value = 0;

    for (;; p++) {
        char c = *p;
        uint32_t digit;

        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        } else {
            break;
        }
        if ((size_t)(p - *text) == max) {
            return false;
        }
        value = (value << 4) | digit;
    }
    if (p == *text || *p != stop) {
        return false;
    }
    *text = p + 1;
    *ret = value;
    return true;
}

bool pgf_lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint32_t high, low;

    if (text == NULL || !hex_parse(&text, 8, '/', &high) || !hex_parse(&text, 8, '\0', &low)) {
        return false;
    }
    *ret_lsn = ((uint64_t)high << 32) | low;
    return true;
}

bool pgf_wal_segment_size_ok(uint64_t bytes)
{
    return bytes >= PGF_WAL_SEGMENT_MIN && bytes <= PGF_WAL_SEGMENT_MAX &&
           (bytes & (bytes - 1)) == 0;
}

uint64_t pgf_wal_segno(uint64_t lsn, uint64_t segment_bytes)
{
    HF_CHECK(pgf_wal_segment_size_ok(segment_bytes));
    return lsn / segment_bytes;
}

uint64_t pgf_wal_segno_before(uint64_t lsn, uint64_t segment_bytes)
{
    HF_CHECK(lsn > 0);
    return pgf_wal_segno(lsn - 1, segment_bytes);
}

uint64_t pgf_wal_segment_start(uint64_t segno, uint64_t segment_bytes)
{
    return segno * segment_bytes;
}

struct pgf_wal_name pgf_wal_name(uint32_t timeline, uint64_t segno, uint64_t segment_bytes)
{
    struct pgf_wal_name out;
    uint64_t per_id;

    HF_CHECK(pgf_wal_segment_size_ok(segment_bytes));
    per_id = (UINT64_C(1) << 32) / segment_bytes;
    snprintf(out.text, sizeof(out.text), "%08X%08X%08X", (unsigned)timeline,
             (unsigned)(segno / per_id), (unsigned)(segno % per_id));
    return out;
}

/* Eight upper-case hex digits. */
static bool hex8_parse(const char *text, uint32_t *ret)
{
    uint32_t value = 0;

    for (int i = 0; i < 8; i++) {
        char c = text[i];

        if (c >= '0' && c <= '9') {
            value = (value << 4) | (uint32_t)(c - '0');
        } else if (c >= 'A' && c <= 'F') {
            value = (value << 4) | (uint32_t)(c - 'A' + 10);
        } else {
            return false;
        }
    }
    *ret = value;
    return true;
}

bool pgf_wal_name_parse(const char *text, uint64_t segment_bytes, uint32_t *ret_timeline,
                        uint64_t *ret_segno)
{
    uint32_t timeline, id, seg;
    uint64_t per_id;

    if (text == NULL || strlen(text) != PGF_WAL_NAME_LEN ||
        !pgf_wal_segment_size_ok(segment_bytes)) {
        return false;
    }
    per_id = (UINT64_C(1) << 32) / segment_bytes;
    if (!hex8_parse(text, &timeline) || !hex8_parse(text + 8, &id) ||
        !hex8_parse(text + 16, &seg) || seg >= per_id || timeline == 0) {
        return false;
    }
    *ret_timeline = timeline;
    *ret_segno = (uint64_t)id * per_id + seg;
    return true;
}

bool pgf_history_name_parse(const char *text, uint32_t *ret_timeline)
{
    uint32_t timeline;

    if (text == NULL || strlen(text) != PGF_HISTORY_NAME_LEN || !hex8_parse(text, &timeline) ||
        !hf_has_suffix(text, ".history") || timeline == 0) {
        return false;
    }
    *ret_timeline = timeline;
    return true;
}

int pgf_wal_magic_major(uint16_t magic)
{
    for (size_t i = 0; i < HF_LEN(wal_magics); i++) {
        if (wal_magics[i].magic == magic) {
            return wal_magics[i].major;
        }
    }
    return 0;
}

static struct hf_status long_decode(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                    struct pgf_wal_page *page)
{
    if (len < PGF_WAL_LONG_HEADER) {
        return hf_fail(arena, HF_DATA_LOSS, "long WAL page header is cut off");
    }
    page->header_len = PGF_WAL_LONG_HEADER;
    page->system_identifier = pgf_le64(bytes + 24);
    page->segment_bytes = pgf_le32(bytes + 32);
    page->block_bytes = pgf_le32(bytes + 36);
    if (!pgf_wal_segment_size_ok(page->segment_bytes)) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page header names a segment size of %u bytes",
                       (unsigned)page->segment_bytes);
    }
    if (page->block_bytes != PGF_WAL_PAGE) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page header names pages of %u bytes, expected %d",
                       (unsigned)page->block_bytes, PGF_WAL_PAGE);
    }
    return hf_success();
}

struct hf_status pgf_wal_page_decode(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                     struct pgf_wal_page *ret_page)
{
    struct pgf_wal_page page = {0};

    if (len < PGF_WAL_SHORT_HEADER) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page header is cut off");
    }
    page.magic = pgf_le16(bytes);
    page.info = pgf_le16(bytes + 2);
    page.timeline = pgf_le32(bytes + 4);
    page.lsn = pgf_le64(bytes + 8);
    page.remaining_len = pgf_le32(bytes + 16);
    page.header_len = PGF_WAL_SHORT_HEADER;
    page.server_major = pgf_wal_magic_major(page.magic);
    if (page.server_major == 0) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page with unknown magic %04X",
                       (unsigned)page.magic);
    }
    if ((page.info & ~WAL_ALL_FLAGS) != 0 || page.lsn % PGF_WAL_PAGE != 0 || page.timeline == 0) {
        return hf_fail(arena, HF_DATA_LOSS, "impossible WAL page header (flags %04X, %s)",
                       (unsigned)page.info, pgf_lsn(page.lsn).text);
    }
    if ((page.info & PGF_WAL_LONG) != 0) {
        HF_TRY(long_decode(arena, bytes, len, &page));
    }
    *ret_page = page;
    return hf_success();
}

struct hf_status pgf_wal_page_check(struct hf_arena *arena, const struct pgf_wal_page *page,
                                    const struct pgf_wal_expect *expect)
{
    bool is_long = (page->info & PGF_WAL_LONG) != 0;

    if (page->lsn != expect->lsn) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page at %s says that it is %s",
                       pgf_lsn(expect->lsn).text, pgf_lsn(page->lsn).text);
    }
    if (expect->segment_bytes != 0 && is_long != (expect->lsn % expect->segment_bytes == 0)) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page at %s has a header of the wrong kind",
                       pgf_lsn(expect->lsn).text);
    }
    if (is_long && expect->segment_bytes != 0 && page->segment_bytes != expect->segment_bytes) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page at %s is of segments of %u bytes",
                       pgf_lsn(expect->lsn).text, (unsigned)page->segment_bytes);
    }
    if (is_long && expect->system_identifier != 0 &&
        page->system_identifier != expect->system_identifier) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page at %s is of system %llu, expected %llu",
                       pgf_lsn(expect->lsn).text, (unsigned long long)page->system_identifier,
                       (unsigned long long)expect->system_identifier);
    }
    if (expect->timeline != 0 && page->timeline != expect->timeline) {
        return hf_fail(arena, HF_DATA_LOSS, "WAL page at %s is of timeline %u, expected %u",
                       pgf_lsn(expect->lsn).text, (unsigned)page->timeline,
                       (unsigned)expect->timeline);
    }
    return hf_success();
}
