/* pg_control. Surprise: 14, 15 and 16 share one layout and one control version; only the catalog
 * version tells them apart. 17 puts wal_level into what was padding, 18 adds one byte before the
 * nonce, which moves the CRC. */
#include "pgformat/control.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "codec/hash.h"
#include "pgformat/le.h"
#include "pgformat/wal.h"

#define CHECKPOINT 40 /* CheckPoint checkPointCopy */
#define CHECKPOINT_INVALID 0xDEAD

#define CONTROL_1300 1300
#define CONTROL_1700 1700
#define CONTROL_1800 1800

struct layout {
    uint32_t control_version;
    size_t crc_offset;
};
static const struct layout layouts[] = {
    {CONTROL_1300, 288}, {CONTROL_1700, 288}, {CONTROL_1800, 292}};

static const struct {
    uint32_t catalog_version;
    int major;
} catalogs[] = {
    {202107181, 14}, {202209061, 15}, {202307071, 16}, {202406281, 17}, {202506291, 18}};

static const char *const state_texts[] = {
    [PGF_STATE_STARTUP] = "starting up",
    [PGF_STATE_SHUT_DOWN] = "shut down",
    [PGF_STATE_SHUT_DOWN_IN_RECOVERY] = "shut down in recovery",
    [PGF_STATE_SHUTTING_DOWN] = "shutting down",
    [PGF_STATE_IN_CRASH_RECOVERY] = "in crash recovery",
    [PGF_STATE_IN_ARCHIVE_RECOVERY] = "in archive recovery",
    [PGF_STATE_IN_PRODUCTION] = "in production",
};

const char *pgf_control_state_text(enum pgf_control_state state)
{
    return (size_t)state < HF_LEN(state_texts) ? state_texts[state] : "unknown";
}

static const struct layout *layout_find(uint32_t control_version)
{
    for (size_t i = 0; i < HF_LEN(layouts); i++) {
        if (layouts[i].control_version == control_version) {
            return &layouts[i];
        }
    }
    return NULL;
}

static int major_of(uint32_t catalog_version)
{
    for (size_t i = 0; i < HF_LEN(catalogs); i++) {
        if (catalogs[i].catalog_version == catalog_version) {
            return catalogs[i].major;
        }
    }
    return 0;
}

static struct hf_status layout_check(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                     const struct layout **ret_layout)
{
    const struct layout *layout;
    uint32_t version;

    if (len < 16) {
        return hf_fail(arena, HF_DATA_LOSS, "pg_control is cut off");
    }
    version = pgf_le32(bytes + 8);
    layout = layout_find(version);
    if (layout == NULL && (version < 800 || version > 9999)) {
        return hf_fail(arena, HF_DATA_LOSS, "pg_control is damaged: version %u", (unsigned)version);
    }
    if (layout == NULL) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "UNSUPPORTED_VERSION", NULL,
                            "pg_control has version %u, expected that of PostgreSQL 14 to 18",
                            (unsigned)version);
    }
    if (len < layout->crc_offset + 4) {
        return hf_fail(arena, HF_DATA_LOSS, "pg_control is cut off at %zu bytes", len);
    }
    if (codec_crc32c(0, bytes, layout->crc_offset) != pgf_le32(bytes + layout->crc_offset)) {
        return hf_fail(arena, HF_DATA_LOSS, "pg_control has a wrong CRC");
    }
    *ret_layout = layout;
    return hf_success();
}

static int64_t seconds(const uint8_t *p)
{
    return (int64_t)(pgf_le64(p) * (uint64_t)HF_US_PER_S);
}

static void settings_decode(const uint8_t *bytes, struct pgf_control *control)
{
    control->wal_level = (int)pgf_le32(bytes + 172);
    control->max_connections = (int)pgf_le32(bytes + 180);
    control->max_worker_processes = (int)pgf_le32(bytes + 184);
    control->max_wal_senders = (int)pgf_le32(bytes + 188);
    control->max_prepared_xacts = (int)pgf_le32(bytes + 192);
    control->max_locks_per_xact = (int)pgf_le32(bytes + 196);
    control->block_bytes = pgf_le32(bytes + 216);
    control->relation_segment_blocks = pgf_le32(bytes + 220);
    control->wal_block_bytes = pgf_le32(bytes + 224);
    control->wal_segment_bytes = pgf_le32(bytes + 228);
    control->data_checksum_version = pgf_le32(bytes + 252);
}

struct hf_status pgf_control_decode(struct hf_arena *arena, const uint8_t *bytes, size_t len,
                                    struct pgf_control *ret_control)
{
    const struct layout *layout = &layouts[0];
    struct pgf_control control = {0};

    HF_TRY(layout_check(arena, bytes, len, &layout));
    control.system_identifier = pgf_le64(bytes);
    control.control_version = layout->control_version;
    control.catalog_version = pgf_le32(bytes + 12);
    control.server_major = major_of(control.catalog_version);
    control.state = (enum pgf_control_state)pgf_le32(bytes + 16);
    control.time_us = seconds(bytes + 24);
    control.checkpoint_lsn = pgf_le64(bytes + 32);
    control.redo_lsn = pgf_le64(bytes + CHECKPOINT);
    control.timeline = pgf_le32(bytes + CHECKPOINT + 8);
    control.prev_timeline = pgf_le32(bytes + CHECKPOINT + 12);
    control.has_full_page_writes = bytes[CHECKPOINT + 16] != 0;
    control.checkpoint_time_us = seconds(bytes + CHECKPOINT + 64);
    control.min_recovery_lsn = pgf_le64(bytes + 136);
    control.min_recovery_timeline = pgf_le32(bytes + 144);
    control.backup_start_lsn = pgf_le64(bytes + 152);
    control.backup_end_lsn = pgf_le64(bytes + 160);
    control.is_backup_end_required = bytes[168] != 0;
    settings_decode(bytes, &control);
    if (!pgf_wal_segment_size_ok(control.wal_segment_bytes) || control.timeline == 0) {
        return hf_fail(arena, HF_DATA_LOSS, "pg_control has impossible values (segment size %u)",
                       (unsigned)control.wal_segment_bytes);
    }
    *ret_control = control;
    return hf_success();
}

struct hf_status pgf_control_disarm(struct hf_arena *arena, uint8_t *bytes, size_t len)
{
    const struct layout *layout = &layouts[0];

    HF_TRY(layout_check(arena, bytes, len, &layout));
    pgf_put_le64(bytes + 32, CHECKPOINT_INVALID);
    pgf_put_le32(bytes + layout->crc_offset, codec_crc32c(0, bytes, layout->crc_offset));
    return hf_success();
}
