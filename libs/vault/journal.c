/* Reading a journal and appending to it. The surprise: the head is found by doubling and halving,
 * not by listing two hundred thousand names; one listing behind the head then proves that nothing
 * follows, so that an entry taken away from the middle is found whichever it was. */
#include "vault/journal.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/vec.h"
#include "codec/hash.h"
#include "vault/journal_entry.h"
#include "vault/names.h"
#include "vault/pack_format.h"

#define ENTRY_DIGITS 12
#define NUMBER_MAX UINT64_C(999999999999) /* twelve digits */
#define WALK_MAX 4096u /* entries since a checkpoint; writers make one after 64 */
#define RACES_MAX 1000 /* entries of others that one call steps over */
#define LIST_STEP 1000
#define LIST_ARENA ((size_t)8 << 20)
#define CHECKPOINT_ENTRIES 64
#define CHECKPOINT_US (3600 * HF_US_PER_S)

/* --- finding the head ----------------------------------------------------------------------- */

static struct hf_status entry_exists(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                     uint64_t number, bool *ret_exists)
{
    uint64_t size = 0;
    struct hf_status status =
        objstore_head(ctx, store, vault_entry_name(ctx->arena, prefix, number), &size);

    *ret_exists = hf_is_ok(status);
    return status.code == HF_NOT_FOUND ? hf_success() : status;
}

/* Largest existing number reachable from low (which exists) by doubling and halving. */
static struct hf_status head_search(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                    uint64_t low, uint64_t *ret_head)
{
    uint64_t step = 1;
    bool exists = true;

    while (exists && low + step <= NUMBER_MAX) {
        HF_TRY(entry_exists(ctx, store, prefix, low + step, &exists));
        if (exists) {
            low += step;
            step *= 2;
        }
    }
    for (step /= 2; step > 0; step /= 2) {
        if (low + step <= NUMBER_MAX) {
            HF_TRY(entry_exists(ctx, store, prefix, low + step, &exists));
            low += exists ? step : 0;
        }
    }
    *ret_head = low;
    return hf_success();
}

/* Twelve digits; anything else below a journal is a file that somebody else put there. */
static bool is_entry_base(const char *base)
{
    return strlen(base) == ENTRY_DIGITS && strspn(base, "0123456789") == ENTRY_DIGITS;
}

/* First entry's name behind entry number; NULL: there is none. */
static struct hf_status entry_behind(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                     uint64_t number, const char **ret_name)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new(LIST_ARENA);
    const char *names = hf_printf(ctx->arena, "%s/journal/", prefix);
    const char *after = vault_entry_name(ctx->arena, prefix, number);
    struct objstore_page page = {.is_complete = false};
    struct hf_ctx own = *ctx;

    own.arena = scratch;
    *ret_name = NULL;
    for (size_t step = 1; !page.is_complete && *ret_name == NULL; step = LIST_STEP) {
        struct hf_status status = objstore_list(&own, store, names, after, step, &page);

        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
        for (size_t i = 0; i < page.len && *ret_name == NULL; i++) {
            if (is_entry_base(page.entries[i].name + strlen(names))) {
                *ret_name = hf_strdup(ctx->arena, page.entries[i].name);
            }
        }
        if (page.len == 0) {
            break;
        }
        after = hf_strdup(ctx->arena, page.entries[page.len - 1].name);
        hf_arena_reset(scratch);
    }
    return hf_success();
}

/* The head, proven to be the last. from exists, or is 0. A writer may append meanwhile: what
 * follows directly is the new head, a gap is a hidden entry. */
static struct hf_status head_find(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                  uint64_t from, uint64_t *ret_head)
{
    uint64_t head = from;
    const char *behind = NULL;

    for (int i = 0; i < RACES_MAX; i++) {
        bool exists = head > 0;

        if (exists) {
            HF_TRY(head_search(ctx, store, prefix, head, &head));
        }
        HF_TRY(entry_behind(ctx, store, prefix, head, &behind));
        if (behind == NULL) {
            *ret_head = head;
            return hf_success();
        }
        HF_TRY(entry_exists(ctx, store, prefix, head + 1, &exists));
        if (!exists) {
            return vault_journal_broken(
                ctx->arena, "JOURNAL_HIDDEN", vault_entry_name(ctx->arena, prefix, head + 1),
                hf_printf(ctx->arena, "is missing although %s follows", behind));
        }
        head++;
    }
    return hf_fail(ctx->arena, HF_ABORTED, "the journal of %s grows too fast to be read", prefix);
}

/* --- reading -------------------------------------------------------------------------------- */

struct hf_status vault_journal_check(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                     uint64_t number, const uint8_t *hash)
{
    const char *name = vault_entry_name(ctx->arena, prefix, number);
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    uint8_t now[VAULT_HASH_LEN];
    uint64_t size = 0;
    struct hf_status status = objstore_head(ctx, store, name, &size);
    uint8_t *at;

    if (status.code == HF_NOT_FOUND) {
        return vault_journal_broken(ctx->arena, "JOURNAL_ROLLBACK", name,
                                    "is missing but was seen before: the vault was rolled back");
    }
    HF_TRY(status);
    bool is_same = size > 0 && size <= VAULT_ENTRY_MAX;

    if (is_same && hash != NULL) {
        hf_buf_init(&bytes, VAULT_ENTRY_MAX);
        at = hf_buf_extend(&bytes, (size_t)size);
        HF_TRY(hf_buf_status(&bytes, ctx->arena, name));
        HF_TRY(objstore_read(ctx, store, name, 0, (size_t)size, at));
        codec_sha256(bytes.ptr, bytes.len, now);
        is_same = memcmp(now, hash, sizeof(now)) == 0;
    }
    if (!is_same) {
        return vault_journal_broken(ctx->arena, "JOURNAL_ROLLBACK", name,
                                    "is not the one seen before: the vault was rolled back");
    }
    return hf_success();
}

/* The link between an opened entry and the hash of the one before it. */
static struct hf_status chain_check(struct hf_arena *arena, const struct vault_entry_open *entry,
                                    const uint8_t hash_before[VAULT_HASH_LEN])
{
    if (memcmp(entry->ret_previous, hash_before, VAULT_HASH_LEN) != 0) {
        return vault_journal_broken(arena, "JOURNAL_CHAIN",
                                    vault_entry_name(arena, entry->prefix, entry->number),
                                    "does not follow the entry before it");
    }
    return hf_success();
}

/* A vector (base/vec.h) that can be passed on. */
struct entry_list {
    struct vault_entry_open *items;
    size_t len;
    size_t cap;
};

/* Entries from the head down to a checkpoint or the first, newest first, chain checked. */
static struct hf_status walk_back(struct hf_ctx *ctx, struct objstore *store,
                                  const struct vault_entry_open *head, struct entry_list *entries)
{
    static const uint8_t no_entry[VAULT_HASH_LEN] = {0};
    struct vault_entry_open open = *head;

    for (open.number = head->number; open.number > 0; open.number--) {
        HF_TRY(hf_ctx_check(ctx));
        if (entries->len == WALK_MAX) {
            return vault_damaged(ctx->arena, vault_entry_name(ctx->arena, open.prefix, open.number),
                                 0, "no checkpoint is among thousands of entries behind it");
        }
        struct hf_status status = vault_entry_read(ctx, store, &open);

        if (status.code == HF_NOT_FOUND) {
            return vault_journal_broken(ctx->arena, "JOURNAL_HIDDEN",
                                        vault_entry_name(ctx->arena, open.prefix, open.number),
                                        "is missing although later ones exist");
        }
        HF_TRY(status);
        if (entries->len > 0) {
            HF_TRY(chain_check(ctx->arena, &entries->items[entries->len - 1], open.ret_hash));
        }
        *HF_VEC_ADD(ctx->arena, entries) = open;
        if (open.ret_entry.kind == VAULT_ENTRY_CHECKPOINT) {
            return hf_success();
        }
    }
    const struct vault_entry_open *first = &entries->items[entries->len - 1];

    if (first->ret_entry.kind != VAULT_ENTRY_SOURCE) {
        return vault_damaged(ctx->arena, vault_entry_name(ctx->arena, first->prefix, first->number),
                             0, "a journal begins with the entry of its source");
    }
    return chain_check(ctx->arena, first, no_entry);
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters; the pin is two of them */
struct hf_status vault_journal_read(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_keyring *keyring, const char *prefix,
                                    uint64_t expect_head, const uint8_t *expect_hash,
                                    struct vault_source_state *ret_state)
{
    struct vault_entry_open head = {.keyring = keyring, .prefix = prefix};
    struct vault_source_state state = {.head = 0};
    struct entry_list entries = {0};
    bool exists = false;

    if (expect_head > 0) {
        HF_TRY(vault_journal_check(ctx, store, prefix, expect_head, expect_hash));
    }
    HF_TRY(entry_exists(ctx, store, prefix, 1, &exists));
    HF_TRY(head_find(ctx, store, prefix, exists ? (expect_head > 0 ? expect_head : 1) : 0,
                     &head.number));
    if (head.number == 0) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "the vault has no journal of %s", prefix);
    }
    HF_TRY(walk_back(ctx, store, &head, &entries));
    for (size_t i = entries.len; i > 0; i--) {
        const struct vault_entry_open *open = &entries.items[i - 1];

        if (i == entries.len && open->ret_entry.kind == VAULT_ENTRY_CHECKPOINT) {
            state = open->ret_state;
        }
        vault_state_apply(ctx->arena, &state, &open->ret_entry, open->ret_hash);
    }
    *ret_state = state;
    return hf_success();
}

/* --- appending ------------------------------------------------------------------------------ */

/* The number under which this attempt wrote this entry already; 0: it did not. */
static uint64_t written_before(const struct vault_source_state *state,
                               const struct vault_entry *entry)
{
    uint64_t subject = vault_entry_subject(entry);

    if (hf_text_empty(entry->attempt_id)) {
        return 0;
    }
    for (size_t i = state->attempts_len; i > 0; i--) {
        const struct vault_attempt *attempt = &state->attempts[i - 1];

        if (attempt->kind == entry->kind && attempt->subject == subject &&
            hf_text_equal(attempt->id, entry->attempt_id)) {
            return attempt->number;
        }
    }
    return 0;
}

static bool has_lineage(const struct vault_source_state *state, const char *lineage)
{
    for (size_t i = 0; i < state->lineages_len; i++) {
        if (hf_text_equal(state->lineages[i].lineage, lineage)) {
            return true;
        }
    }
    return false;
}

static struct hf_status taken(struct hf_arena *arena, const char *what, const char *name)
{
    return hf_fail(arena, HF_ALREADY_EXISTS, "%s %s is in the journal already", what, name);
}

/* Does this entry make sense after state? */
static struct hf_status entry_check(struct hf_arena *arena, const struct vault_source_state *state,
                                    const struct vault_entry *entry)
{
    if ((state->head == 0) != (entry->kind == VAULT_ENTRY_SOURCE)) {
        return state->head == 0 ? hf_fail(arena, HF_FAILED_PRECONDITION,
                                          "a journal begins with the entry of its source")
                                : taken(arena, "source", state->source.name);
    }
    if (entry->kind == VAULT_ENTRY_BACKUP && vault_state_point(state, entry->u.backup.id) != NULL) {
        return taken(arena, "backup", entry->u.backup.id);
    }
    if (entry->kind == VAULT_ENTRY_LINEAGE && has_lineage(state, entry->u.lineage.lineage)) {
        return taken(arena, "lineage", entry->u.lineage.lineage);
    }
    if (entry->kind == VAULT_ENTRY_DELETE &&
        vault_state_point(state, entry->u.deleted_id) == NULL) {
        return hf_fail(arena, HF_NOT_FOUND, "the journal has no live backup %s",
                       entry->u.deleted_id);
    }
    return hf_success();
}

struct append {
    struct objstore *store;
    const struct vault_keyring *keyring;
    const char *prefix;
    struct vault_source_state *state;
    struct vault_entry *entry;
};

/* Somebody's entry is at this number: check it, apply it. ret_is_ours: it is the one with hash. */
static struct hf_status adopt(struct hf_ctx *ctx, const struct append *append, uint64_t number,
                              const uint8_t hash[VAULT_HASH_LEN], bool *ret_is_ours)
{
    struct vault_entry_open open = {
        .keyring = append->keyring, .prefix = append->prefix, .number = number};

    HF_TRY(vault_entry_read(ctx, append->store, &open));
    HF_TRY(chain_check(ctx->arena, &open, append->state->head_hash));
    vault_state_apply(ctx->arena, append->state, &open.ret_entry, open.ret_hash);
    *ret_is_ours = memcmp(open.ret_hash, hash, VAULT_HASH_LEN) == 0;
    return hf_success();
}

/* One try to write the entry behind the head. ret_done false: another's entry was there first. */
static struct hf_status append_once(struct hf_ctx *ctx, const struct append *append, bool *ret_done)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    const struct vault_entry_seal seal = {.keyring = append->keyring,
                                          .prefix = append->prefix,
                                          .entry = append->entry,
                                          .state = append->state};
    const char *name;
    uint8_t hash[VAULT_HASH_LEN];
    struct hf_status status;

    append->entry->number = append->state->head + 1;
    name = vault_entry_name(ctx->arena, append->prefix, append->entry->number);
    hf_buf_init(&bytes, VAULT_ENTRY_MAX);
    HF_TRY(vault_entry_seal(ctx, &seal, &bytes));
    codec_sha256(bytes.ptr, bytes.len, hash);
    status = objstore_put(ctx, append->store, name, (struct hf_bytes){bytes.ptr, bytes.len});
    if (hf_is_ok(status)) {
        vault_state_apply(ctx->arena, append->state, append->entry, hash);
        *ret_done = true;
        return status;
    }
    /* Taken, or in doubt (a timeout after the store had it): what is there decides. */
    if (status.code != HF_ALREADY_EXISTS && status.code != HF_UNAVAILABLE &&
        status.code != HF_DEADLINE_EXCEEDED && status.code != HF_UNKNOWN) {
        return status;
    }
    struct hf_status found = adopt(ctx, append, append->entry->number, hash, ret_done);

    if (found.code == HF_NOT_FOUND && status.code == HF_ALREADY_EXISTS) {
        return vault_damaged(ctx->arena, name, 0, "the name is taken by what is not an entry");
    }
    return found.code == HF_NOT_FOUND ? status : found;
}

static struct hf_status append_entry(struct hf_ctx *ctx, const struct append *append)
{
    for (int i = 0; i < RACES_MAX; i++) {
        uint64_t before = written_before(append->state, append->entry);
        bool is_done = before != 0;

        HF_TRY(hf_ctx_check(ctx));
        if (is_done) {
            append->entry->number = before;
            return hf_success();
        }
        HF_TRY(entry_check(ctx->arena, append->state, append->entry));
        HF_TRY(append_once(ctx, append, &is_done));
        if (is_done) {
            return hf_success();
        }
    }
    return hf_fail(ctx->arena, HF_ABORTED, "the journal of %s grows too fast to be written",
                   append->prefix);
}

static bool wants_checkpoint(const struct vault_source_state *state, int64_t now_us)
{
    int64_t age_us;

    return state->head - state->checkpoint >= CHECKPOINT_ENTRIES ||
           __builtin_sub_overflow(now_us, state->checkpoint_time_us, &age_us) ||
           age_us >= CHECKPOINT_US;
}

struct hf_status vault_journal_append(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring, const char *prefix,
                                      struct vault_source_state *state, struct vault_entry *entry)
{
    struct vault_entry checkpoint = {.kind = VAULT_ENTRY_CHECKPOINT};
    struct append append = {store, keyring, prefix, state, entry};

    if (!vault_keyring_can_sign(keyring)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "writing the journal of %s needs the signing key", prefix);
    }
    HF_CHECK(entry->kind != VAULT_ENTRY_CHECKPOINT);
    entry->time_us = entry->time_us != 0 ? entry->time_us : hf_now_us();
    HF_TRY(append_entry(ctx, &append));
    if (wants_checkpoint(state, entry->time_us)) {
        /* The caller's entry is durable: a checkpoint that fails now is written by the next. */
        checkpoint.time_us = entry->time_us;
        append.entry = &checkpoint;
        (void)hf_is_ok(append_entry(ctx, &append));
    }
    return hf_success();
}

/* --- sources -------------------------------------------------------------------------------- */

struct hf_status vault_sources_list(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                    const char ***ret_prefixes, size_t *ret_len)
{
    const char *below = hf_printf(ctx->arena, "tenants/%s/sources/", realm);

    return vault_names_below(ctx, store, below, ret_prefixes, ret_len);
}

const char *vault_source_id(const char *prefix)
{
    const char *slash = strrchr(prefix, '/');
    struct hf_uuid uuid;

    return slash != NULL && hf_uuid_parse(slash + 1, &uuid) == 0 ? slash + 1 : NULL;
}
