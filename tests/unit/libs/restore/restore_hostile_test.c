/* Whoever holds the vault's key and lies: maps, roots and facts made up by a seeded generator and
 * restored as root. Whatever they say, nothing outside of the target and of the tablespaces'
 * directory changes, nothing aborts, and every refusal is one that a person can read.
 *
 * HOLDFAST_HOSTILE_ROUNDS and HOLDFAST_HOSTILE_SEED ask for more, and for others. */
#include <ftw.h>
#include <inttypes.h>

#include "tests/unit/libs/restore/canary.h"
#include "tests/unit/libs/restore/hostile_lies.h"
#include "vault/mapset.h"

#define ROUNDS (HF_HAS_ASAN ? 250 : 1100)
#define NEIGHBOUR 65534

static void entry_copy(struct lie *to, const struct vault_map_entry *from)
{
    to->entry = *from;
    (void)snprintf(to->link, sizeof(to->link), "%s", from->attrs.link);
    assert_true(from->runs_len <= HF_LEN(to->runs));
    if (from->runs_len > 0) {
        memcpy(to->runs, from->runs, from->runs_len * sizeof(to->runs[0]));
    }
    hostile_name(to, from->attrs.path);
}

/* --- one round ------------------------------------------------------------------------------ */

static int compare_lies(const void *a, const void *b)
{
    const struct lie *x = a;
    const struct lie *y = b;
    int order = memcmp(x->entry.key, y->entry.key, VAULT_ID_LEN);

    return order != 0 ? order : x->entry.segment < y->entry.segment ? -1 : 0;
}

/* Map, root and journal entry as the lies of this round say. */
static void write_point(struct hostile *h, const char *id)
{
    struct fixture *f = h->f;
    const struct vault_place place = source_place(f);
    HF_CLEANUP(vault_map_writer_free) struct vault_map_writer *writer = NULL;
    struct vault_table_ref *table = HF_NEW(f->ctx.arena, struct vault_table_ref);
    struct vault_share *share = HF_NEW(f->ctx.arena, struct vault_share);
    struct vault_shard *shard = HF_NEW(f->ctx.arena, struct vault_shard);
    struct hf_pair facts[] = {{"backup_label", h->label}, {"tablespace_map", h->map}};
    uint64_t size = 0;

    qsort(h->entries, h->len, sizeof(h->entries[0]), compare_lies);
    assert_ok(vault_map_writer_new(&f->ctx, &place, &writer));
    for (size_t i = 0; i < h->len; i++) {
        hostile_name(&h->entries[i], hf_strdup(f->ctx.arena, h->entries[i].path)); /* it moved */
        assert_ok(vault_map_writer_add(&f->ctx, writer, &h->entries[i].entry));
    }
    assert_ok(vault_map_writer_finish(&f->ctx, writer, table));
    *shard = (struct vault_shard){.shares = share, .shares_len = 1};
    share->bytes = table->plain_bytes;
    h->root.map = (struct vault_map_set){table, 1, shard, 1};
    h->root.facts = facts;
    h->root.facts_len = 2;
    h->root.info.id = id;
    assert_ok(vault_root_write(&f->ctx, &place, &h->root, &size));
    struct vault_point_info point = h->w.h.journal.points[0];

    point.id = id;
    point.root = h->root.info.root;
    memcpy(point.root_sha256, h->root.info.root_sha256, sizeof(point.root_sha256));
    house_append(&h->w.h, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP, .u.backup = point});
}

static void choose_spaces(struct hostile *h, struct restore_options *options)
{
    struct hf_arena *arena = h->f->ctx.arena;
    struct restore_tablespace *mapping = HF_NEW(arena, struct restore_tablespace);

    *mapping = (struct restore_tablespace){"16400", hf_printf(arena, "%s/one", h->work)};
    options->tablespaces_into = NULL;
    options->tablespaces_len = 0;
    options->tablespaces_as_recorded = hostile_pick(h, 8) == 0;
    if (!options->tablespaces_as_recorded && hostile_pick(h, 6) != 0) {
        options->tablespaces_into = hf_printf(arena, "%s/spaces", h->work);
    }
    if (h->map[0] != '\0' && hf_has_prefix(h->map, "16400 ") && hostile_pick(h, 2) == 0) {
        options->tablespaces = mapping;
        options->tablespaces_len = 1;
    }
}

static char *walked_wrong; /* what nftw found */

static int judge_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    const char *link = strstr(path, "/pg_tblspc/16");
    bool is_ours = kind == FTW_SL && link != NULL && strchr(link + 13, '/') == NULL;

    (void)where;
    if ((!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode) && !is_ours) ||
        (info->st_mode & 07000) != 0 || (S_ISREG(info->st_mode) && info->st_nlink != 1)) {
        walked_wrong = hf_heap_strdup(path);
        return 1;
    }
    return 0;
}

static void judge(struct hostile *h, struct hf_status status, uint64_t round)
{
    struct hf_arena *arena = h->f->ctx.arena;
    const char *after = canary_snapshot(arena, h->box, h->work);

    if (strcmp(h->before, after) != 0) {
        fail_msg("round %" PRIu64 ":\n%s became\n%s", round, h->before, after);
    }
    if (nftw(h->work, judge_entry, 16, FTW_PHYS) != 0 && walked_wrong != NULL) {
        fail_msg("round %" PRIu64 ": %s is no file, no directory and no link of ours", round,
                 walked_wrong);
    }
    if (hf_is_ok(status)) {
        return;
    }
    assert_non_null(status.message);
    if (status.code == HF_INTERNAL || status.code == HF_UNKNOWN) {
        fail_msg("round %" PRIu64 ": %s: %s", round, hf_code_name(status.code), status.message);
    }
    for (const char *at = status.message; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            fail_msg("round %" PRIu64 ": a control character in: %s", round, status.message);
        }
    }
    if (!hf_is_utf8(status.message, strlen(status.message))) {
        fail_msg("round %" PRIu64 ": not UTF-8: %s", round, status.message);
    }
}

static struct hf_status play(struct hostile *h, uint64_t round)
{
    const char *id = hf_printf(h->f->ctx.arena, "r%06" PRIu64, round);

    assert_ok(vault_journal_read(&h->f->ctx, h->f->store, h->f->keyring, FIXTURE_SOURCE, 0, NULL,
                                 &h->w.h.journal)); /* into the arena of this round */
    memcpy(h->entries, h->honest_entries, h->honest_len * sizeof(h->entries[0]));
    h->len = h->honest_len;
    h->root = h->honest;
    h->label = hf_strdup(h->f->ctx.arena, "START WAL LOCATION: 0/100028\n");
    h->map = hf_strdup(h->f->ctx.arena, "");
    for (size_t i = 0; i < h->len; i++) {
        hostile_name(&h->entries[i], hf_strdup(h->f->ctx.arena, h->entries[i].path));
    }
    for (uint64_t i = round == 0 ? 0 : 1 + hostile_pick(h, 3); i > 0; i--) {
        hostile_lie(h);
    }
    write_point(h, id);
    h->w.options.backup_id = id;
    choose_spaces(h, &h->w.options);
    struct hf_status status = whole_run(&h->w);

    judge(h, status, round);
    house_append(&h->w.h, (struct vault_entry){.kind = VAULT_ENTRY_DELETE, .u.deleted_id = id});
    return status;
}

/* --- set-up --------------------------------------------------------------------------------- */

static void load_honest(struct hostile *h)
{
    struct fixture *f = h->f;
    const struct vault_place place = source_place(f);
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_point_info *point = &h->w.s.result.info;
    const struct vault_map_entry *entry = NULL;

    assert_ok(vault_root_open(&f->ctx, &place, point->root, point->root_sha256, &h->honest));
    assert_ok(
        vault_map_iter_new(&f->ctx, &place, &h->honest.map, 0, h->honest.map.shards_len, &iter));
    do {
        assert_ok(vault_map_iter_next(&f->ctx, iter, &entry));
        if (entry != NULL) {
            entry_copy(&h->honest_entries[h->honest_len++], entry);
        }
    } while (entry != NULL);
}

static struct hostile *hostile_new(struct fixture *f)
{
    struct hostile *h = hf_heap_alloc(sizeof(*h));
    const char *seed = getenv("HOLDFAST_HOSTILE_SEED");

    h->f = f;
    h->seed = UINT64_C(0x9e3779b97f4a7c15);
    if (seed != NULL && hf_parse_u64(seed, &h->seed)) {
        h->seed |= 1;
    }
    whole_make(&h->w, f, NULL);
    h->honest_entries = hf_heap_alloc(ENTRIES_MAX * sizeof(struct lie));
    h->entries = hf_heap_alloc(ENTRIES_MAX * sizeof(struct lie));
    load_honest(h);
    h->box = hf_printf(f->ctx.arena, "%s/box", f->dir);
    h->outside = hf_printf(f->ctx.arena, "%s/outside", h->box);
    h->work = hf_printf(f->ctx.arena, "%s/work", h->box);
    canary_make(f->ctx.arena, h->outside);
    h->w.dir = h->w.options.dir = hf_printf(f->ctx.arena, "%s/data", h->work);
    h->w.options.target = (struct restore_target){.kind = RESTORE_IMMEDIATE};
    h->w.options.threads = 1;
    return h;
}

static void hostile_free(struct hostile *h)
{
    whole_done(&h->w);
    hf_heap_free(h->honest_entries);
    hf_heap_free(h->entries);
    hf_heap_free(h);
}

static void make_work(struct hostile *h)
{
    assert_ok(hf_remove_tree(h->f->ctx.arena, h->work));
    assert_int_equal(mkdir(h->work, 0755), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(h->work, NEIGHBOUR, NEIGHBOUR), 0);
    }
}

/* What a round needs is dropped after it. */
static void with_arena(struct hostile *h, uint64_t round, size_t counts[17])
{
    struct hf_arena *arena = h->f->ctx.arena;

    h->f->ctx.arena = hf_arena_new((size_t)64 << 20);
    make_work(h);
    h->before = canary_snapshot(h->f->ctx.arena, h->box, h->work);
    counts[play(h, round).code]++;
    hf_arena_free(h->f->ctx.arena);
    h->f->ctx.arena = arena;
}

static void test_hostile__nothing_is_written_outside(void **state)
{
    struct hostile *h = hostile_new(*state);
    const char *text = getenv("HOLDFAST_HOSTILE_ROUNDS");
    uint64_t rounds = ROUNDS;
    size_t counts[17] = {0};

    if (text != NULL) {
        assert_true(hf_parse_u64(text, &rounds));
    }
    for (uint64_t i = 0; i < rounds; i++) {
        with_arena(h, i, counts);
    }
    for (size_t i = 0; i < HF_LEN(counts); i++) {
        if (counts[i] > 0) {
            print_message("%s %zu\n", hf_code_name((enum hf_code)i), counts[i]);
        }
    }
    /* Lies that harm nobody are restored; the rest is told as what it is. */
    assert_true(rounds < ROUNDS || counts[HF_OK] > rounds / 20);
    assert_true(rounds < ROUNDS || counts[HF_DATA_LOSS] > rounds / 4);
    hostile_free(h);
}

static int set_up(void **state)
{
    return fixture_setup_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hostile__nothing_is_written_outside, set_up,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
