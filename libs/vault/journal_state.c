/* What the entries of a journal add up to. The surprise: applying never fails. An entry that is
 * signed and chained is a fact; a second one about the same thing replaces the first, a deletion of
 * what is not there changes nothing, so that no bug of a writer makes a vault unreadable. */
#include <string.h>

#include "base/check.h"
#include "vault/journal_codec.h"

static const char *copy_text(struct hf_arena *arena, const char *text)
{
    return hf_strdup(arena, text != NULL ? text : "");
}

static void apply_source(struct hf_arena *arena, struct vault_source_state *state,
                         const struct vault_source_info *source)
{
    state->source = *source;
    state->source.name = copy_text(arena, source->name);
    state->source.system_identifier = copy_text(arena, source->system_identifier);
}

/* A longer copy of a full list, NULL while vault_list_room(len) has a place free. */
static void *grown(struct hf_arena *arena, const void *items, size_t len, size_t size)
{
    void *longer;

    if (len != 0 && vault_list_room(len) != len) {
        return NULL;
    }
    longer = hf_alloc_n(arena, vault_list_room(len + 1), size);
    if (len > 0) {
        memcpy(longer, items, len * size);
    }
    return longer;
}

static void apply_lineage(struct hf_arena *arena, struct vault_source_state *state,
                          const struct vault_lineage_info *lineage)
{
    struct vault_lineage_info *slot = NULL;

    for (size_t i = 0; i < state->lineages_len; i++) {
        if (strcmp(state->lineages[i].lineage, lineage->lineage) == 0) {
            slot = &state->lineages[i];
        }
    }
    if (slot == NULL) {
        void *longer = grown(arena, state->lineages, state->lineages_len, sizeof(*slot));

        state->lineages = longer != NULL ? longer : state->lineages;
        slot = &state->lineages[state->lineages_len++];
    }
    *slot = *lineage;
    slot->lineage = copy_text(arena, lineage->lineage);
    slot->system_identifier = copy_text(arena, lineage->system_identifier);
}

static void remove_point(struct vault_source_state *state, const char *id)
{
    size_t kept = 0;

    for (size_t i = 0; i < state->points_len; i++) {
        if (strcmp(state->points[i].id, id) != 0) {
            state->points[kept] = state->points[i];
            state->point_entries[kept] = state->point_entries[i];
            kept++;
        }
    }
    state->points_len = kept;
}

static void apply_point(struct hf_arena *arena, struct vault_source_state *state,
                        const struct vault_point_info *point, uint64_t number)
{
    struct vault_point_info *slot;
    void *longer;

    remove_point(state, point->id);
    longer = grown(arena, state->points, state->points_len, sizeof(*slot));
    if (longer != NULL) {
        state->points = longer;
        state->point_entries =
            grown(arena, state->point_entries, state->points_len, sizeof(uint64_t));
    }
    state->point_entries[state->points_len] = number;
    slot = &state->points[state->points_len++];
    *slot = *point;
    slot->id = copy_text(arena, point->id);
    slot->lineage = copy_text(arena, point->lineage);
    slot->root = copy_text(arena, point->root);
}

static void apply_wal(struct hf_arena *arena, struct vault_source_state *state,
                      const struct vault_wal_info *wal)
{
    struct vault_wal_info *slot = NULL;
    void *longer;

    for (size_t i = 0; i < state->wal_len; i++) {
        if (state->wal[i].timeline == wal->timeline &&
            strcmp(state->wal[i].lineage, wal->lineage) == 0) {
            slot = &state->wal[i];
        }
    }
    if (slot == NULL) {
        longer = grown(arena, state->wal, state->wal_len, sizeof(*slot));
        state->wal = longer != NULL ? longer : state->wal;
        slot = &state->wal[state->wal_len++];
        slot->lineage = copy_text(arena, wal->lineage);
    }
    slot->timeline = wal->timeline;
    slot->durable_lsn = wal->durable_lsn;
    slot->durable_time_us = wal->durable_time_us;
}

/* Remember who wrote it, in a list of fixed length, oldest first. */
static void apply_attempt(struct hf_arena *arena, struct vault_source_state *state,
                          const struct vault_entry *entry)
{
    if (hf_text_empty(entry->attempt_id)) {
        return;
    }
    if (state->attempts_len == VAULT_ATTEMPTS_KEPT) {
        memmove(state->attempts, state->attempts + 1,
                (VAULT_ATTEMPTS_KEPT - 1) * sizeof(state->attempts[0]));
        state->attempts_len--;
    } else {
        void *longer =
            grown(arena, state->attempts, state->attempts_len, sizeof(state->attempts[0]));

        state->attempts = longer != NULL ? longer : state->attempts;
    }
    state->attempts[state->attempts_len++] = (struct vault_attempt){
        .id = copy_text(arena, entry->attempt_id),
        .kind = entry->kind,
        .number = entry->number,
        .subject = vault_entry_subject(entry),
    };
}

void vault_state_apply(struct hf_arena *arena, struct vault_source_state *state,
                       const struct vault_entry *entry, const uint8_t hash[VAULT_HASH_LEN])
{
    switch (entry->kind) {
    case VAULT_ENTRY_SOURCE:
        apply_source(arena, state, &entry->u.source);
        break;
    case VAULT_ENTRY_BACKUP:
        apply_point(arena, state, &entry->u.backup, entry->number);
        break;
    case VAULT_ENTRY_DELETE:
        remove_point(state, entry->u.deleted_id);
        break;
    case VAULT_ENTRY_WAL:
        apply_wal(arena, state, &entry->u.wal);
        break;
    case VAULT_ENTRY_LINEAGE:
        apply_lineage(arena, state, &entry->u.lineage);
        break;
    case VAULT_ENTRY_CHECKPOINT:
        state->checkpoint = entry->number;
        state->checkpoint_time_us = entry->time_us;
        break;
    }
    apply_attempt(arena, state, entry);
    if (state->checkpoint == 0 && state->checkpoint_time_us == 0) {
        state->checkpoint_time_us = entry->time_us;
    }
    state->head = entry->number;
    memcpy(state->head_hash, hash, VAULT_HASH_LEN);
}

bool vault_is_loss(const char *reason)
{
    static const char *const prefixes[] = {"JOURNAL_", "KEYS_"};
    static const char *const reasons[] = {"DAMAGED", "NEWER_FORMAT", "OLD_KEY_SLOT", "WRONG_KEY"};
    bool is_loss = false;

    for (size_t i = 0; i < HF_LEN(prefixes); i++) {
        is_loss = is_loss || (reason != NULL && hf_has_prefix(reason, prefixes[i]));
    }
    for (size_t i = 0; i < HF_LEN(reasons); i++) {
        is_loss = is_loss || hf_text_equal(reason, reasons[i]);
    }
    return is_loss;
}

const struct vault_point_info *vault_state_point(const struct vault_source_state *state,
                                                 const char *id)
{
    for (size_t i = 0; i < state->points_len; i++) {
        if (strcmp(state->points[i].id, id) == 0) {
            return &state->points[i];
        }
    }
    return NULL;
}
