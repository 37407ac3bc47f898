/* The table of lies. Each changes the honest map, root and facts of a round a little; a few
 * together are one hostile vault. */
#include "tests/unit/libs/restore/hostile_lies.h"

uint64_t hostile_pick(struct hostile *h, uint64_t below)
{
    h->seed ^= h->seed << 13;
    h->seed ^= h->seed >> 7;
    h->seed ^= h->seed << 17;
    return below == 0 ? 0 : (h->seed >> 11) % below;
}

/* --- entries -------------------------------------------------------------------------------- */

void hostile_name(struct lie *lie, const char *path)
{
    (void)snprintf(lie->path, sizeof(lie->path), "%s", path);
    lie->entry.attrs.path = lie->path;
    lie->entry.attrs.link = lie->link;
    lie->entry.runs = lie->runs;
}

static struct lie *entry_add(struct hostile *h, enum vault_node node, const char *path)
{
    struct lie *lie = &h->entries[h->len++];

    assert_true(h->len <= ENTRIES_MAX);
    memset(lie, 0, sizeof(*lie));
    lie->entry.attrs.node = node;
    lie->entry.attrs.mode = 0640;
    hostile_name(lie, path);
    for (size_t i = 0; i < VAULT_ID_LEN; i++) {
        lie->entry.key[i] = (uint8_t)hostile_pick(h, 256);
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
    size_t first = (size_t)hostile_pick(h, h->len);

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

    return targets[hostile_pick(h, HF_LEN(targets))];
}

/* "aa → outside" and "aa/…". */
static void lie_link_and_file(struct hostile *h)
{
    static const char *const below[] = {"shadow", "PG_VERSION", "base/1/1259",
                                        "new",    "cron.d/job", "cron.d/new"};
    static const char *const names[] = {
        "aa",           "base", "global",          "pg_wal",
        "pg_tblspc/aa", "zz",   "pg_tblspc/16400", "pg_tblspc/17000",
        "pg_tblspc"};
    const char *name = names[hostile_pick(h, HF_LEN(names))];

    entry_link(h, name, target_of_link(h));
    entry_file(h, hf_path_join(h->f->ctx.arena, name, below[hostile_pick(h, HF_LEN(below))]));
    if (hostile_pick(h, 2) == 0) {
        entry_add(h, VAULT_NODE_DIR, name);
    }
}

/* A file of the restore's own as a link. */
static void lie_own_name(struct hostile *h)
{
    static const char *const names[] = {"postgresql.conf",
                                        "postgresql.auto.conf",
                                        "pg_hba.conf",
                                        "pg_ident.conf",
                                        "backup_label",
                                        "tablespace_map",
                                        "backup_manifest",
                                        "recovery.signal",
                                        "holdfast.incomplete",
                                        "global/pg_control",
                                        "global/pg_control.holdfast",
                                        "pg_wal/archive_status",
                                        "pg_wal/000000010000000000000001",
                                        "pg_tblspc",
                                        "standby.signal",
                                        "postmaster.pid"};
    const char *name = names[hostile_pick(h, HF_LEN(names))];

    switch (hostile_pick(h, 3)) {
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
        "base/1/\xe2\x80\xae"
        "cod.exe",
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
    deep[hostile_pick(h, 2) == 0 ? 199 : 4095] = '\0';
    const char *name = names[hostile_pick(h, HF_LEN(names))];

    if (hostile_pick(h, 3) == 0) {
        hostile_name(entry_any(h, VAULT_NODE_FILE), name);
    } else if (hostile_pick(h, 3) == 0) {
        entry_add(h, VAULT_NODE_DIR, name);
    } else {
        entry_file(h, name);
    }
}

static void lie_twice(struct hostile *h)
{
    const struct lie *lie =
        entry_any(h, hostile_pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);
    char path[VAULT_PATH_MAX + 1];

    memcpy(path, lie->path, sizeof(path));
    switch (hostile_pick(h, 4)) {
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
        hostile_name(&h->entries[h->len++], path);
    }
}

static void lie_size(struct hostile *h)
{
    static const uint64_t sizes[] = {0,
                                     1,
                                     VAULT_PAGE - 1,
                                     VAULT_PAGE + 1,
                                     1 << 24,
                                     UINT64_C(1) << 40,
                                     VAULT_FILE_MAX,
                                     VAULT_FILE_MAX + 1,
                                     INT64_MAX,
                                     UINT64_MAX};
    struct lie *lie = entry_any(h, VAULT_NODE_FILE);

    lie->entry.attrs.size_bytes = sizes[hostile_pick(h, HF_LEN(sizes))];
    if (hostile_pick(h, 2) == 0) { /* the root says the same */
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
    switch (hostile_pick(h, 4)) {
    case 0:
        lie->runs[0].pack = 1 + numbers[hostile_pick(h, HF_LEN(numbers))] % VAULT_PACK_NUMBER_MAX;
        break;
    case 1:
        lie->runs[0].ordinal = numbers[hostile_pick(h, HF_LEN(numbers))];
        break;
    case 2:
        lie->entry.runs_len--;
        break;
    default: /* a segment that begins where no page of it can be */
        lie->entry.segment = (uint32_t)hostile_pick(h, 3);
        lie->runs[0].first_page += lie->entry.segment * VAULT_SEGMENT_PAGES;
        lie->entry.runs_len = 1;
    }
}

static void lie_mode(struct hostile *h)
{
    static const uint32_t modes[] = {07777, 06755, 0, 01777, 0111, 0444, 0666};
    struct lie *lie = entry_any(h, hostile_pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);
    static const int64_t times[] = {INT64_MIN, INT64_MAX, -1, INT64_C(300000000000000000)};

    lie->entry.attrs.mode = modes[hostile_pick(h, HF_LEN(modes))];
    lie->entry.attrs.mtime_us = times[hostile_pick(h, HF_LEN(times))];
}

static void lie_tablespace(struct hostile *h)
{
    static const char *const paths[] = {"pg_tblspc/16400/PG_15/5/1",
                                        "pg_tblspc/016400/PG_15/x",
                                        "pg_tblspc/16401/x",
                                        "pg_tblspc/16400/a",
                                        "pg_tblspc/4294967296/x",
                                        "pg_tblspc/16400",
                                        "pg_tblspc/0/x"};
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

    h->map = hf_strdup(h->f->ctx.arena, maps[hostile_pick(h, HF_LEN(maps))]);
    for (uint64_t i = hostile_pick(h, 3); i > 0; i--) {
        const char *path = paths[hostile_pick(h, HF_LEN(paths))];

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
    h->label = hf_strdup(h->f->ctx.arena, labels[hostile_pick(h, HF_LEN(labels))]);
}

static void lie_counts(struct hostile *h)
{
    static const uint64_t counts[] = {0, 1, 7, UINT64_MAX, INT64_MAX};

    h->root.info.files = counts[hostile_pick(h, HF_LEN(counts))];
    h->root.info.source_bytes = counts[hostile_pick(h, HF_LEN(counts))];
}

static void lie_gone(struct hostile *h)
{
    struct lie *lie = entry_any(h, hostile_pick(h, 2) == 0 ? VAULT_NODE_FILE : VAULT_NODE_DIR);

    lie->entry.attrs.node = VAULT_NODE_GONE;
    lie->entry.runs_len = 0;
}

static void (*const lies[])(struct hostile *h) = {
    lie_link_and_file, lie_link_and_file, lie_own_name, lie_name, lie_name,
    lie_twice,         lie_size,          lie_runs,     lie_mode, lie_tablespace,
    lie_label,         lie_counts,        lie_gone};

void hostile_lie(struct hostile *h)
{
    lies[hostile_pick(h, HF_LEN(lies))](h);
}
