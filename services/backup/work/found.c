/* The judgement: one line a value. */
#include "backup/work/found.h"

#include <string.h>

#include "backup/store/reading.h"
#include "base/check.h"
#include "base/clock.h"
#include "objstore/objstore.h"
#include "pgformat/wal.h"

struct value {
    const char *name;
    bool is_good;
};

static struct hf_status judge(struct hf_arena *arena, const char *what, const struct value *values,
                              size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!values[i].is_good) {
            return hf_fail(arena, HF_DATA_LOSS, "the journal says of %s a %s that cannot be", what,
                           values[i].name);
        }
    }
    return hf_success();
}

static bool is_system(const char *text)
{
    uint64_t number = 0;

    return strlen(text) <= STORE_SYSTEM_MAX && hf_parse_u64(text, &number);
}

struct hf_status found_source(struct hf_arena *arena, const struct vault_source_state *state,
                              struct cluster_row *row)
{
    const struct vault_source_info *source = &state->source;
    const char *lineage =
        state->lineages_len == 0 ? "l1" : state->lineages[state->lineages_len - 1].lineage;
    const struct value values[] = {
        {"name", hf_is_name(source->name)},
        {"system identifier", is_system(source->system_identifier)},
        {"server version", source->server_version <= INT32_MAX},
        {"size of WAL segments", pgf_wal_segment_size_ok(source->wal_segment_bytes)},
        {"lineage", hf_is_name(lineage)},
    };

    HF_TRY(judge(arena, "the source", values, HF_LEN(values)));
    row->name = source->name;
    row->system_identifier = source->system_identifier;
    row->server_version = source->server_version;
    row->segment_bytes = source->wal_segment_bytes;
    row->lineage = lineage;
    row->journal_head = state->head;
    row->journal_hash = (struct hf_bytes){state->head_hash, VAULT_HASH_LEN};
    return hf_success();
}

static bool is_whole(uint32_t number)
{
    return number >= 1 && number <= INT32_MAX;
}

struct hf_status found_point(struct hf_arena *arena, const struct vault_source_state *state,
                             const struct vault_point_info *point, struct backup_row *row)
{
    uint64_t entry = state->point_entries[point - state->points];
    const struct value values[] = {
        {"id", hf_is_name(point->id)},
        {"journal entry", entry >= 1 && entry <= state->head},
        {"lineage", hf_is_name(point->lineage)},
        {"root", objstore_is_name(point->root)},
        {"timeline", is_whole(point->timeline)},
        {"start", point->start_lsn >= 1},
        {"stop", point->stop_lsn >= point->start_lsn},
        {"start time", hf_time_in_range(point->start_time_us)},
        {"stop time", hf_time_in_range(point->stop_time_us)},
        {"size of its source", point->source_bytes <= INT64_MAX},
        {"size of its changes", point->changed_bytes <= INT64_MAX},
        {"size in the vault", point->stored_bytes <= INT64_MAX},
        {"number of files", point->files <= INT64_MAX},
        {"server version", point->server_version <= INT32_MAX},
    };

    HF_TRY(judge(arena, "a point", values, HF_LEN(values)));
    row->id = point->id;
    row->journal_entry = entry;
    row->lineage = point->lineage;
    row->root = point->root;
    row->timeline = point->timeline;
    row->start_lsn = point->start_lsn;
    row->stop_lsn = point->stop_lsn;
    row->start_time_us = point->start_time_us;
    row->end_time_us = point->stop_time_us;
    row->source_bytes = point->source_bytes;
    row->changed_bytes = point->changed_bytes;
    row->stored_bytes = point->stored_bytes;
    row->files = point->files;
    row->server_version = point->server_version;
    return hf_success();
}
