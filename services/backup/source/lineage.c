/* The surprise: a failure behind the entry leaves a lineage that nobody took up; the next try does.
 */
#include "backup/source/lineage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

/* One that the journal has, that nobody took up and of which nothing is stored: the database
 * refused what came behind its entry. Tries that fail do not add up. ret_lineage NULL: none. */
static struct hf_status find_begun(struct hf_ctx *ctx, const struct source *source,
                                   const struct vault_source_state *state,
                                   const struct receiver_fork *fork, const char **ret_lineage)
{
    const struct vault_lineage_info *last = &state->lineages[state->lineages_len - 1];
    const struct vault_wal_place place = {source->prefix, last->lineage, source->row.segment_bytes};
    struct vault_wal_index index = {0};

    *ret_lineage = NULL;
    if (hf_text_equal(last->lineage, fork->lineage) || !hf_is_name(last->lineage) ||
        !hf_text_equal(last->system_identifier, source->row.system_identifier)) {
        return hf_success();
    }
    HF_TRY(vault_wal_index_load(ctx, source->app->vault, source->keyring, &place, 0, &index));
    *ret_lineage = vault_wal_index_timeline(&index) == 0 ? last->lineage : NULL;
    return hf_success();
}

static struct hf_status append_lineage(struct hf_ctx *ctx, const struct source *source,
                                       struct vault_source_state *state,
                                       const struct receiver_fork *fork, const char **ret_lineage)
{
    const char *lineage = hf_printf(ctx->arena, "l%zu", state->lineages_len + 1);
    struct vault_entry entry = {
        .kind = VAULT_ENTRY_LINEAGE,
        .time_us = hf_now_us(),
        .attempt_id = hf_printf(ctx->arena, "lineage/%s", lineage),
        .u.lineage = {.lineage = lineage,
                      .system_identifier = source->row.system_identifier,
                      .timeline = fork->timeline,
                      .start_lsn = fork->start_lsn},
    };

    hf_warn(ctx, HF_EVENT("wal.lineage"), HF_TEXT("cluster", source->row.name),
            HF_TEXT("lineage", lineage), HF_TEXT("why", fork->why));
    *ret_lineage = lineage;
    return source_append(ctx, source, state, &entry);
}

struct hf_status lineage_begin(struct hf_ctx *ctx, const struct source *source,
                               struct vault_source_state *state, const struct receiver_fork *fork,
                               const char **ret_lineage)
{
    const char *lineage = NULL;

    HF_TRY(find_begun(ctx, source, state, fork, &lineage));
    if (lineage == NULL) {
        HF_TRY(append_lineage(ctx, source, state, fork, &lineage));
    }
    *ret_lineage = lineage;
    return hf_success();
}
