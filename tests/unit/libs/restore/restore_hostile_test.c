/* Whoever holds the vault's key and lies: maps, roots and facts made up by a seeded generator and
 * restored as root. Whatever they say, nothing outside of the target and of the tablespaces'
 * directory changes, nothing aborts, and every refusal is one that a person can read.
 *
 * HOLDFAST_HOSTILE_ROUNDS and HOLDFAST_HOSTILE_SEED ask for more, and for others. */
#include <ftw.h>
#include <inttypes.h>

#include "tests/unit/libs/restore/canary.h"
#include "tests/unit/libs/restore/whole_fixture.h"
#include "vault/mapset.h"

#define ROUNDS (HF_HAS_ASAN ? 250 : 1100)
#define ENTRIES_MAX 64
#define NEIGHBOUR 65534

struct lie {
    struct vault_map_entry entry;
    struct vault_run runs[8];
    char path[VAULT_PATH_MAX + 1];
    char link[512];
};

struct hostile {
    struct whole w;
    struct fixture *f;
    struct vault_root honest;
    struct vault_root root; /* of this round */
    struct lie *honest_entries;
    size_t honest_len;
    struct lie *entries; /* of this round */
    size_t len;
    uint64_t seed;
    char *outside; /* canary directory */
    char *box;     /* canary and what is written lie in it */
    char *work;    /* what may be written */
    char *before;  /* snapshot */
    char *map;
    char *label;
};

static uint64_t pick(struct hostile *h, uint64_t below)
{
    h->seed ^= h->seed << 13;
    h->seed ^= h->seed >> 7;
    h->seed ^= h->seed << 17;
    return below == 0 ? 0 : (h->seed >> 11) % below;
}

/* --- entries -------------------------------------------------------------------------------- */

static void entry_name(struct lie *lie, const char *path)
{
    (void)snprintf(lie->path, sizeof(lie->path), "%s", path);
    lie->entry.attrs.path = lie->path;
    lie->entry.attrs.link = lie->link;
    lie->entry.runs = lie->runs;
}

static void entry_copy(struct lie *to, const struct vault_map_entry *from)
{
    to->entry = *from;
    (void)snprintf(to->link, sizeof(to->link), "%s", from->attrs.link);
    assert_true(from->runs_len <= HF_LEN(to->runs));
    memcpy(to->runs, from->runs, from->runs_len * sizeof(to->runs[0]));
    entry_name(to, from->attrs.path);
}

static struct lie *entry_add(struct hostile *h, enum vault_node node, const char *path)
{
    struct lie *lie = &h->entries[h->len++];

    assert_true(h->len <= ENTRIES_MAX);
    memset(lie, 0, sizeof(*lie));
    lie->entry.attrs.node = node;
    lie->entry.attrs.mode = 0640;
    entry_name(lie, path);
    for (size_t i = 0; i < VAULT_ID_LEN; i++) {
        lie->entry.key[i] = (uint8_t)pick(h, 256);
    }
    return lie;
}

/* A file with real pages. */
static struct lie *entry_file(struct hostile *h, const char *path)
{
    struct lie *lie = entry_add(h, VAULT_NODE_FILE, path);

    for (size_t i = 0; i < h->honest_len; i++) {
        const struct lie *real = &h->honest_entries[i];

        if (real->entry.runs_len > 0 && strcmp(real->path, "base/1/1255") == 0) {
            lie->entry.attrs.size_bytes = real->entry.attrs.size_bytes;
            lie->entry.runs_len = real->entry.runs_len;
            memcpy(lie->runs, real->runs, sizeof(real->runs));
        }
    }
    h->root.info.files++;
    h->root.info.source_bytes += lie->entry.attrs.size_bytes;
    return lie;
}

static void entry_link(struct hostile *h, const char *path, const char *to)
{
    struct lie *lie = entry_add(h, VAULT_NODE_SYMLINK, path);

    (void)snprintf(lie->link, sizeof(lie->link), "%s", to);
}

static struct lie *entry_any(struct hostile *h, enum vault_node node)
{
    size_t first = (size_t)pick(h, h->len);

    for (size_t i = 0; i < h->len; i++) {
        struct lie *lie = &h->entries[(first + i) % h->len];

        if (lie->entry.attrs.node == node) {
            return lie;
        }
    }
    return &h->entries[0];
}

/* --- lies ----------------------------------------------------------------------------------- */

static const char *target_of_link(struct hostile *h)
{
    const char *const targets[] = {
        h->outside,
        "../outside",
        "../../outside",
        "/",
        "..",
        ".",
        "/proc/self/cwd",
        hf_printf(h->f->ctx.arena, "%s/shadow", h->outside),
        hf_printf(h->f->ctx.arena, "%s/none", h->outside),
    };

    return targets[pick(h, HF_LEN(targets))];
}

/* "aa → outside" and "aa/…". */
static void lie_link_and_file(struct hostile *h)
{
    static const char *const below[] = {"shadow", "PG_VERSION", "base/1/1259", "new", "cron.d/job",
                                        "cron.d/new"};
    static const char *const names[] = {"aa", "base", "global", "pg_wal", "pg_tblspc/aa", "zz",
                                        "pg_tblspc/16400", "pg_tblspc/17000", "pg_tblspc"};
    const char *name = names[pick(h, HF_LEN(names))];

    entry_link(h, name, target_of_link(h));
    entry_file(h, hf_path_join(h->f->ctx.arena, name, below[pick(h, HF_LEN(below))]));
    if (pick(h, 2) == 0) {
        entry_add(h, VAULT_NODE_DIR, name);
    }
}

/* A file of the restore's own as a link. */
static void lie_own_name(struct hostile *h)
{
    static const char *const names[] = {
        "postgresql.conf",     "postgresql.auto.conf", "pg_hba.conf",
        "pg_ident.conf",       "backup_label",         "tablespace_map",
        "backup_manifest",     "recovery.signal",      "holdfast.incomplete",
        "global/pg_control",   "global/pg_control.holdfast",
        "pg_wal/archive_status", "pg_wal/000000010000000000000001",
        "pg_tblspc",           "standby.signal",       "postmaster.pid"};
    const char *name = names[pick(h, HF_LEN(names))];

    switch (pick(h, 3)) {
    case 0:
        entry_link(h, name, target_of_link(h));
        break;
    case 1:
        entry_add(h, VAULT_NODE_DIR, name);
        break;
    default:
        entry_file(h, name);
    }
}

static void lie_name(struct hostile *h)
{
    struct hf_arena *arena = h->f->ctx.arena;
    char *longest = hf_alloc(arena, 4097);
    char *deep = hf_alloc(arena, 4097);
    const char *const names[] = {
        "../outside/shadow",
        "/etc/hf-hostile",
        "base/../../outside/shadow",
        "base//1",
        "./PG_VERSION",
        "base/.",
        "..",
        hf_printf(arena, "%s/shadow", h->outside),
        "a\nb",
        "a\x1b]0;owned\x07",
        "\xff\xfe",
        "base/1/\xe2\x80\xae" "cod.exe",
        longest,
        longest + 4096 - 256,
        longest + 4096 - 255,
        deep,
        "PG_VERSION/x",
        "base/1/1259/x",
        "none/x",
        "BASE/1/1259",
        "pg_version",
        "-rf",
        "$(reboot)",
        "con",
        "base/1/1255 ",
    };

    memset(longest, 'a', 4096);
    memset(deep, 'a', 4096);
    for (size_t i = 1; i < 4095; i += 2) {
        deep[i] = '/';
    }
    deep[pick(h, 2) == 0 ? 199 : 4095] = '\0';
    const char *name = names[pick(h, HF_LEN(names))];

    if (pick(h, 3) == 0) {
        entry_name(entry_any(h, VAULT_NODE_FILE), name);
    } else if (pick(h, 3) == 0) {
        entry_add(h, VAULT_NODE_DIR, name);
    } else {
        entry_file(h, name);
    }
}

static void lie_twice(struct hostile *h)
{
    const struct lie *lie = entry_any(h, pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);
    char path[VAULT_PATH_MAX + 1];

    memcpy(path, lie->path, sizeof(path));
    switch (pick(h, 4)) {
    case 0:
        entry_file(h, path);
        break;
    case 1:
        entry_add(h, VAULT_NODE_DIR, path);
        break;
    case 2:
        entry_link(h, path, target_of_link(h));
        break;
    default: /* the same entry again, key and all */
        h->entries[h->len] = *lie;
        entry_name(&h->entries[h->len++], path);
    }
}

static void lie_size(struct hostile *h)
{
    static const uint64_t sizes[] = {0, 1, VAULT_PAGE - 1, VAULT_PAGE + 1, 1 << 24,
                                     UINT64_C(1) << 40, VAULT_FILE_MAX, VAULT_FILE_MAX + 1,
                                     INT64_MAX, UINT64_MAX};
    struct lie *lie = entry_any(h, VAULT_NODE_FILE);

    lie->entry.attrs.size_bytes = sizes[pick(h, HF_LEN(sizes))];
    if (pick(h, 2) == 0) { /* the root says the same */
        h->root.info.source_bytes = UINT64_MAX;
    }
}

static void lie_runs(struct hostile *h)
{
    static const uint32_t numbers[] = {0, 1, 2, 85, 1000, 131071, 131072, UINT32_MAX - 1};
    struct lie *lie = entry_any(h, VAULT_NODE_FILE);

    if (lie->entry.runs_len == 0) {
        return;
    }
    switch (pick(h, 4)) {
    case 0:
        lie->runs[0].pack = 1 + numbers[pick(h, HF_LEN(numbers))] % VAULT_PACK_NUMBER_MAX;
        break;
    case 1:
        lie->runs[0].ordinal = numbers[pick(h, HF_LEN(numbers))];
        break;
    case 2:
        lie->entry.runs_len--;
        break;
    default: /* a segment that begins where no page of it can be */
        lie->entry.segment = (uint32_t)pick(h, 3);
        lie->runs[0].first_page += lie->entry.segment * VAULT_SEGMENT_PAGES;
        lie->entry.runs_len = 1;
    }
}

static void lie_mode(struct hostile *h)
{
    static const uint32_t modes[] = {07777, 06755, 0, 01777, 0111, 0444, 0666};
    struct lie *lie = entry_any(h, pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);
    static const int64_t times[] = {INT64_MIN, INT64_MAX, -1, INT64_C(300000000000000000)};

    lie->entry.attrs.mode = modes[pick(h, HF_LEN(modes))];
    lie->entry.attrs.mtime_us = times[pick(h, HF_LEN(times))];
}

static void lie_tablespace(struct hostile *h)
{
    static const char *const paths[] = {
        "pg_tblspc/16400/PG_15/5/1", "pg_tblspc/016400/PG_15/x", "pg_tblspc/16401/x",
        "pg_tblspc/16400/a", "pg_tblspc/4294967296/x", "pg_tblspc/16400", "pg_tblspc/0/x"};
    const char *const maps[] = {
        hf_printf(h->f->ctx.arena, "16400 %s\n", h->outside),
        hf_printf(h->f->ctx.arena, "16400 %s/cron.d\n16401 %s\n", h->outside, h->outside),
        "16400 ../outside\n",
        "16400 relative\n",
        "16400 /a\n16400 /b\n",
        "16400\n",
        "0 /x\n",
        "99999999999 /x\n",
        "16400 /with\\\nnewline\n16401 /\x1b[2J\n",
        "1663 /x\n1664 /y\n",
    };

    h->map = hf_strdup(h->f->ctx.arena, maps[pick(h, HF_LEN(maps))]);
    for (uint64_t i = pick(h, 3); i > 0; i--) {
        const char *path = paths[pick(h, HF_LEN(paths))];

        entry_add(h, VAULT_NODE_DIR, hf_strndup(h->f->ctx.arena, path, strlen(path) - 2));
        entry_file(h, path);
    }
}

static void lie_label(struct hostile *h)
{
    char *huge = hf_alloc(h->f->ctx.arena, 1 << 19);
    const char *const labels[] = {"", "\n\n\n", "../../outside/shadow", huge,
                                  "START WAL LOCATION: 0/100028 (file ../../outside/shadow)\n"};

    memset(huge, 'x', (1 << 19) - 1);
    h->label = hf_strdup(h->f->ctx.arena, labels[pick(h, HF_LEN(labels))]);
}

static void lie_counts(struct hostile *h)
{
    static const uint64_t counts[] = {0, 1, 7, UINT64_MAX, INT64_MAX};

    h->root.info.files = counts[pick(h, HF_LEN(counts))];
    h->root.info.source_bytes = counts[pick(h, HF_LEN(counts))];
}

static void lie_gone(struct hostile *h)
{
    struct lie *lie = entry_any(h, pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);

    lie->entry.attrs.node = VAULT_NODE_GONE;
    lie->entry.runs_len = 0;
}

static void (*const lies[])(struct hostile *h) = {
    lie_link_and_file, lie_link_and_file, lie_own_name,   lie_name,  lie_name,   lie_twice, lie_size,
    lie_runs,          lie_mode,          lie_tablespace, lie_label, lie_counts, lie_gone};

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
        entry_name(&h->entries[i], hf_strdup(f->ctx.arena, h->entries[i].path)); /* it moved */
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
    options->tablespaces_as_recorded = pick(h, 8) == 0;
    if (!options->tablespaces_as_recorded && pick(h, 6) != 0) {
        options->tablespaces_into = hf_printf(arena, "%s/spaces", h->work);
    }
    if (h->map[0] != '\0' && hf_has_prefix(h->map, "16400 ") && pick(h, 2) == 0) {
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
    assert_true(hf_is_utf8(status.message, strlen(status.message)));
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
        entry_name(&h->entries[i], hf_strdup(h->f->ctx.arena, h->entries[i].path));
    }
    for (uint64_t i = round == 0 ? 0 : 1 + pick(h, 3); i > 0; i--) {
        lies[pick(h, HF_LEN(lies))](h);
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
    assert_ok(vault_map_iter_new(&f->ctx, &place, &h->honest.map, 0, h->honest.map.shards_len,
                                 &iter));
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
    assert_true(counts[HF_OK] > rounds / 20);
    assert_true(counts[HF_DATA_LOSS] > rounds / 4);
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
