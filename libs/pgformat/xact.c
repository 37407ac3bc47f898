/* Decodes the main data of transaction and XLOG records of PostgreSQL 14 to 18.
 *
 * Surprise: the xid of a COMMIT PREPARED is not in the record header but behind four lists of the
 * body, one of which has items of another size from version 18 on. */
#include "pgformat/xact.h"

#include <string.h>

#include "base/clock.h"
#include "pgformat/le.h"

#define RM_XLOG 0
#define RM_XACT 1

#define XACT_OPERATION 0x70
#define XACT_HAS_INFO 0x80
#define XACT_COMMIT 0x00
#define XACT_ABORT 0x20
#define XACT_COMMIT_PREPARED 0x30
#define XACT_ABORT_PREPARED 0x40

#define XINFO_DBINFO (1U << 0)
#define XINFO_SUBXACTS (1U << 1)
#define XINFO_RELATIONS (1U << 2)
#define XINFO_INVALIDATIONS (1U << 3)
#define XINFO_TWO_PHASE (1U << 4)
#define XINFO_STATISTICS (1U << 8)

#define XLOG_CHECKPOINT_SHUTDOWN 0x00
#define XLOG_CHECKPOINT_ONLINE 0x10
#define XLOG_SWITCH 0x40
#define XLOG_BACKUP_END 0x50
#define XLOG_RESTORE_POINT 0x70
#define XLOG_END_OF_RECOVERY 0x90

#define BLOCK_ID_DATA_SHORT 255
#define BLOCK_ID_DATA_LONG 254
#define BLOCK_ID_ORIGIN 253
#define BLOCK_ID_TOP_XID 252

static const struct {
    uint8_t rmid;
    uint8_t mask;
    uint8_t operation;
    enum pgf_walrec_what what;
} kinds[] = {
    {RM_XACT, XACT_OPERATION, XACT_COMMIT, PGF_REC_COMMIT},
    {RM_XACT, XACT_OPERATION, XACT_ABORT, PGF_REC_ABORT},
    {RM_XACT, XACT_OPERATION, XACT_COMMIT_PREPARED, PGF_REC_COMMIT_PREPARED},
    {RM_XACT, XACT_OPERATION, XACT_ABORT_PREPARED, PGF_REC_ABORT_PREPARED},
    {RM_XLOG, 0xF0, XLOG_CHECKPOINT_SHUTDOWN, PGF_REC_CHECKPOINT},
    {RM_XLOG, 0xF0, XLOG_CHECKPOINT_ONLINE, PGF_REC_CHECKPOINT},
    {RM_XLOG, 0xF0, XLOG_SWITCH, PGF_REC_SWITCH},
    {RM_XLOG, 0xF0, XLOG_BACKUP_END, PGF_REC_BACKUP_END},
    {RM_XLOG, 0xF0, XLOG_RESTORE_POINT, PGF_REC_RESTORE_POINT},
    {RM_XLOG, 0xF0, XLOG_END_OF_RECOVERY, PGF_REC_END_OF_RECOVERY},
};

static enum pgf_walrec_what what_of(const struct pgf_walrec *rec)
{
    if (rec->rmid > RM_XACT) {
        return PGF_REC_OTHER;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].rmid == rec->rmid && kinds[i].operation == (rec->info & kinds[i].mask)) {
            return kinds[i].what;
        }
    }
    return PGF_REC_OTHER;
}

bool pgf_xact_is_wanted(const struct pgf_walrec *rec)
{
    return rec->rmid <= RM_XACT && what_of(rec) != PGF_REC_OTHER;
}

/* Main data of a record that has no block references; false otherwise. */
static bool main_data(struct hf_bytes payload, struct hf_bytes *ret_main)
{
    size_t pos = 0;

    while (pos < payload.len) {
        const uint8_t *p = payload.ptr + pos;
        size_t left = payload.len - pos;

        if (p[0] == BLOCK_ID_ORIGIN && left >= 3) {
            pos += 3;
        } else if (p[0] == BLOCK_ID_TOP_XID && left >= 5) {
            pos += 5;
        } else if (p[0] == BLOCK_ID_DATA_SHORT && left >= 2) {
            *ret_main = (struct hf_bytes){p + 2, left - 2};
            return p[1] == ret_main->len;
        } else if (p[0] == BLOCK_ID_DATA_LONG && left >= 5) {
            *ret_main = (struct hf_bytes){p + 5, left - 5};
            return pgf_le32(p + 1) == ret_main->len;
        } else {
            return false;
        }
    }
    return false;
}

/* Unix time of a PostgreSQL time; unsigned, so that hostile values wrap instead of overflowing. */
static int64_t unix_time(const uint8_t *p)
{
    return (int64_t)(pgf_le64(p) + (uint64_t)HF_PG_EPOCH_US);
}

static bool skip(struct hf_bytes *data, size_t len)
{
    if (data->len < len) {
        return false;
    }
    data->ptr += len;
    data->len -= len;
    return true;
}

/* A count and so many items of item_bytes. */
static bool skip_list(struct hf_bytes *data, size_t item_bytes)
{
    uint32_t count;

    if (data->len < 4) {
        return false;
    }
    count = pgf_le32(data->ptr);
    return skip(data, 4) && count <= data->len / item_bytes && skip(data, count * item_bytes);
}

/* The xid behind the lists; 0 when there is none. */
static uint32_t two_phase_xid(int server_major, struct hf_bytes data)
{
    size_t statistics_bytes = server_major >= 18 ? 16 : 12;
    uint32_t xinfo;

    if (data.len < 4) {
        return 0;
    }
    xinfo = pgf_le32(data.ptr);
    if (!skip(&data, 4) || (xinfo & XINFO_TWO_PHASE) == 0 ||
        ((xinfo & XINFO_DBINFO) != 0 && !skip(&data, 8)) ||
        ((xinfo & XINFO_SUBXACTS) != 0 && !skip_list(&data, 4)) ||
        ((xinfo & XINFO_RELATIONS) != 0 && !skip_list(&data, 12)) ||
        ((xinfo & XINFO_STATISTICS) != 0 && !skip_list(&data, statistics_bytes)) ||
        ((xinfo & XINFO_INVALIDATIONS) != 0 && !skip_list(&data, 16)) || data.len < 4) {
        return 0;
    }
    return pgf_le32(data.ptr);
}

static void transaction_decode(int server_major, struct hf_bytes data, struct pgf_walrec *rec)
{
    bool is_prepared = rec->what == PGF_REC_COMMIT_PREPARED || rec->what == PGF_REC_ABORT_PREPARED;

    if (data.len < 8) {
        return;
    }
    rec->time_us = unix_time(data.ptr);
    rec->ended_xid = rec->xid;
    if (is_prepared) {
        (void)skip(&data, 8);
        rec->ended_xid = (rec->info & XACT_HAS_INFO) != 0 ? two_phase_xid(server_major, data) : 0;
    }
}

static void restore_point_decode(struct pgf_xact_scratch *scratch, struct hf_bytes data,
                                 struct pgf_walrec *rec)
{
    size_t len;

    if (data.len < 8 + PGF_RESTORE_POINT_MAX) {
        return;
    }
    len = strnlen((const char *)data.ptr + 8, PGF_RESTORE_POINT_MAX);
    memcpy(scratch->name, data.ptr + 8, len);
    scratch->name[len] = '\0';
    rec->time_us = unix_time(data.ptr);
    rec->name = scratch->name;
}

void pgf_xact_decode(struct pgf_xact_scratch *scratch, int server_major, struct hf_bytes payload,
                     struct pgf_walrec *rec)
{
    struct hf_bytes data = {NULL, 0};

    rec->what = what_of(rec);
    if (!main_data(payload, &data)) {
        return;
    }
    switch (rec->what) {
    case PGF_REC_COMMIT:
    case PGF_REC_ABORT:
    case PGF_REC_COMMIT_PREPARED:
    case PGF_REC_ABORT_PREPARED:
        transaction_decode(server_major, data, rec);
        break;
    case PGF_REC_RESTORE_POINT:
        restore_point_decode(scratch, data, rec);
        break;
    case PGF_REC_CHECKPOINT:
        rec->point_lsn = data.len >= 12 ? pgf_le64(data.ptr) : 0;
        rec->timeline = data.len >= 12 ? pgf_le32(data.ptr + 8) : 0;
        break;
    case PGF_REC_END_OF_RECOVERY:
        rec->time_us = data.len >= 12 ? unix_time(data.ptr) : 0;
        rec->timeline = data.len >= 12 ? pgf_le32(data.ptr + 8) : 0;
        break;
    case PGF_REC_BACKUP_END:
        rec->point_lsn = data.len >= 8 ? pgf_le64(data.ptr) : 0;
        break;
    case PGF_REC_SWITCH:
    case PGF_REC_OTHER:
        break;
    }
}
