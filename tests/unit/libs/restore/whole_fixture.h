/* A vault with one real, small backup and its WAL, and a directory to restore into. */
#ifndef TESTS_WHOLE_FIXTURE_H
#define TESTS_WHOLE_FIXTURE_H

#include <sys/stat.h>

#include "tests/unit/libs/restore/restore_fixture.h"
#include "tests/unit/libs/vault/source_fixture.h"

struct whole {
    struct house h;
    struct source s;
    uint64_t commits[2];
    const char *dir;
    struct restore_options options;
    struct restore_result result;
};

static inline void whole_text(struct source *s, const char *path, const char *text)
{
    memcpy(source_add(s, path, strlen(text))->bytes, text, strlen(text));
}

/* Files as in a data directory, two of them large enough to be cut into pieces. */
static inline void whole_files(struct source *s, const char *tablespace)
{
    static const char *const dirs[] = {"base", "base/1", "global", "pg_wal", "pg_tblspc"};

    for (size_t i = 0; i < HF_LEN(dirs); i++) {
        source_add(s, dirs[i], 0)->node = VAULT_NODE_DIR;
    }
    whole_text(s, "PG_VERSION", "15\n");
    whole_text(s, "postgresql.conf", "port = 5432\n");
    whole_text(s, "pg_hba.conf", "local all all peer\n");
    whole_text(s, "pg_ident.conf", "\n");
    source_add(s, "global/pg_control", VAULT_PAGE);
    source_add(s, "base/1/1259", 700000);
    source_add(s, "base/1/1255", 3 * VAULT_PAGE);
    source_add(s, "base/1/empty", 0);
    source_add(s, "base/1/big", 3 << 20);
    if (tablespace != NULL) {
        source_add(s, "pg_tblspc/16400/PG_15_202209061", 0)->node = VAULT_NODE_DIR;
        source_add(s, "pg_tblspc/16400/PG_15_202209061/5", 0)->node = VAULT_NODE_DIR;
        source_add(s, "pg_tblspc/16400/PG_15_202209061/5/16401", 2 * VAULT_PAGE);
    }
}

/* tablespace: location of tablespace 16400 in the source, or NULL. */
static inline void whole_make(struct whole *w, struct fixture *f, const char *tablespace)
{
    const struct vault_point_info info = {.lineage = "l1", .timeline = 1};
    const char *map = tablespace == NULL ? "" : hf_printf(f->ctx.arena, "16400 %s\n", tablespace);
    const struct hf_pair facts[] = {{"backup_label", "START WAL LOCATION: 0/100028\n"},
                                    {"tablespace_map", map}};
    const struct vault_session_facts in = {&info, facts, 2};

    memset(w, 0, sizeof(*w));
    house_init(&w->h, f);
    source_init(&w->s, f);
    whole_files(&w->s, tablespace);
    struct vault_session *session = source_begin(&w->s);

    assert_ok(source_feed(&w->s, session));
    assert_ok(vault_session_finish(&f->ctx, session, &in, &w->s.result));
    vault_session_free(session);
    filler_put(&w->h.wal, 100);
    uint64_t start = w->h.wal.lsn;

    filler_put(&w->h.wal, 100);
    struct vault_point_info point = w->s.result.info;

    point.start_lsn = start;
    point.stop_lsn = w->h.wal.lsn;
    point.stop_time_us = T(60);
    point.server_version = 150018;
    house_append(&w->h, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP, .u.backup = point});
    w->commits[0] = commit_put(&w->h.wal, 11, T(100));
    filler_put(&w->h.wal, 600000); /* into the second segment */
    filler_put(&w->h.wal, 600000);
    w->commits[1] = commit_put(&w->h.wal, 12, T(200));
    house_stream(&w->h, T(400));
    w->dir = hf_printf(f->ctx.arena, "%s/restored", f->dir);
    w->options = (struct restore_options){.source_prefix = FIXTURE_SOURCE,
                                          .cluster = "orders",
                                          .dir = w->dir,
                                          .threads = 2,
                                          .target = {.kind = RESTORE_LATEST}};
}

static inline void whole_done(struct whole *w)
{
    source_free(&w->s);
    house_done(&w->h);
}

static inline struct hf_status whole_run(struct whole *w)
{
    struct fixture *f = w->h.f;

    return restore_run(&f->ctx, f->store, f->keyring, &w->options, &w->result);
}

static inline const char *whole_path(const struct whole *w, const char *name)
{
    return hf_path_join(w->h.f->ctx.arena, w->dir, name);
}

static inline struct hf_bytes whole_read(const struct whole *w, const char *name)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct hf_arena *arena = w->h.f->ctx.arena;

    hf_buf_init(&buf, 4 << 20);
    assert_ok(hf_read_file(arena, whole_path(w, name), &buf));
    return (struct hf_bytes){hf_dup(arena, buf.ptr != NULL ? (const void *)buf.ptr : "", buf.len),
                             buf.len};
}

/* Everything is there with its bytes, the mark is gone. */
static inline void whole_assert_restored(const struct whole *w)
{
    for (size_t i = 0; i < w->s.len; i++) {
        const struct source_file *file = &w->s.files[i];

        if (file->node == VAULT_NODE_FILE && strcmp(file->path, "postgresql.conf") != 0 &&
            strncmp(file->path, "pg_tblspc/", 10) != 0) {
            struct hf_bytes bytes = whole_read(w, file->path);

            assert_int_equal(bytes.len, file->len);
            assert_memory_equal(bytes.ptr, file->bytes, file->len);
        }
    }
    assert_false(hf_path_exists(whole_path(w, RESTORE_INCOMPLETE)));
    assert_false(hf_path_exists(whole_path(w, RESTORE_CONTROL_TEMP)));
    assert_true(hf_path_exists(whole_path(w, "recovery.signal")));
}

#endif
