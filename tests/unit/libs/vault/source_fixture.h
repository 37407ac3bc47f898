/* A synthetic source in memory: files of seeded, compressible pages that change, shrink, grow and
 * disappear between backups; fed to sessions and compared with what extraction writes. */
#ifndef TESTS_SOURCE_FIXTURE_H
#define TESTS_SOURCE_FIXTURE_H

#include <stdio.h>

#include "base/check.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/digests.h"
#include "vault/session.h"
#include "vault/verify.h"

#define SOURCE_FILES_MAX 256

struct source_file {
    char path[96];
    enum vault_node node; /* GONE: does not exist now */
    uint8_t *bytes;       /* heap */
    size_t len;
    int64_t mtime_us;
    char link[96];
};

struct source {
    struct fixture *f;
    uint64_t seed;
    struct source_file *files; /* heap */
    size_t len;
    const char *cache;
    struct vault_root root; /* of the newest backup */
    bool has_root;
    unsigned backups;
    struct vault_session_result result;
};

static inline uint64_t source_random(struct source *s)
{
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return s->seed;
}

/* Half random, half repetitive: compresses about 2:1. */
static inline void source_fill(struct source *s, uint8_t *at, size_t len)
{
    for (size_t i = 0; i + 16 <= len; i += 16) {
        uint64_t value = source_random(s);
        memcpy(at + i, &value, 8);
        memset(at + i + 8, (int)(value & 3), 8);
    }
}

static inline struct source_file *source_add(struct source *s, const char *path, size_t len)
{
    struct source_file *file = &s->files[s->len++];

    assert_true(s->len <= SOURCE_FILES_MAX);
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    file->node = VAULT_NODE_FILE;
    file->len = len;
    file->bytes = hf_heap_alloc(len + 1);
    file->mtime_us = (int64_t)(source_random(s) % 1000000007);
    source_fill(s, file->bytes, len);
    return file;
}

static inline void source_resize(struct source *s, struct source_file *file, size_t len)
{
    file->bytes = hf_heap_grow(file->bytes, len + 1);
    if (len > file->len) {
        source_fill(s, file->bytes + file->len, len - file->len);
    }
    file->len = len;
    file->mtime_us++;
}

static inline void source_free(struct source *s)
{
    for (size_t i = 0; i < s->len; i++) {
        hf_heap_free(s->files[i].bytes);
    }
    hf_heap_free(s->files);
}

static inline struct vault_place source_place(struct fixture *f)
{
    return (struct vault_place){f->store, f->keyring, FIXTURE_SOURCE};
}

static inline void source_init(struct source *s, struct fixture *f)
{
    memset(s, 0, sizeof(*s));
    s->f = f;
    s->files = hf_heap_alloc(SOURCE_FILES_MAX * sizeof(s->files[0]));
    s->seed = UINT64_C(0x9e3779b97f4a7c15);
    s->cache = hf_printf(f->ctx.arena, "%s/digests", f->dir);
}

static inline struct vault_session *source_begin(struct source *s)
{
    struct vault_session *session = NULL;
    const struct vault_session_options options = {
        .place = source_place(s->f),
        .predecessor = s->has_root ? &s->root : NULL,
        .backup_id = hf_printf(s->f->ctx.arena, "b%04u", s->backups + 1),
        .cache_path = s->cache,
        .threads = 3,
        .next_pack_number = 1,
    };

    assert_ok(vault_session_begin(&s->f->ctx, &options, &session));
    return session;
}

/* Feed in pieces of odd lengths. */
static inline struct hf_status source_feed_file(struct source *s, struct vault_session *session,
                                                const struct source_file *file)
{
    const struct vault_attrs attrs = {.node = file->node,
                                      .path = file->path,
                                      .link = file->link,
                                      .mode = 0640,
                                      .mtime_us = file->mtime_us};
    size_t at = 0;

    if (file->node != VAULT_NODE_FILE) {
        return vault_session_entry(&s->f->ctx, session, &attrs);
    }
    HF_TRY(vault_session_file_begin(&s->f->ctx, session, &attrs));
    while (at < file->len) {
        size_t part = 1 + (at * 7919 + 4099) % 200000;
        part = part < file->len - at ? part : file->len - at;
        HF_TRY(vault_session_write(&s->f->ctx, session, file->bytes + at, part));
        at += part;
    }
    return vault_session_file_end(&s->f->ctx, session);
}

static inline struct hf_status source_feed(struct source *s, struct vault_session *session)
{
    for (size_t i = 0; i < s->len; i++) {
        if (s->files[i].node != VAULT_NODE_GONE) {
            HF_TRY(source_feed_file(s, session, &s->files[i]));
        }
    }
    return hf_success();
}

static inline struct hf_status source_finish(struct source *s, struct vault_session *session)
{
    const struct vault_point_info info = {.lineage = "l1", .timeline = 1, .start_lsn = 0x16000028};
    const struct hf_pair facts[] = {{"backup_label", "START WAL LOCATION: 0/2000028\n"}};
    const struct vault_session_facts in = {&info, facts, 1};

    return vault_session_finish(&s->f->ctx, session, &in, &s->result);
}

/* One whole backup of what the source is now. */
static inline void source_backup(struct source *s)
{
    struct vault_session *session = source_begin(s);
    struct vault_place place = source_place(s->f);

    assert_ok(source_feed(s, session));
    assert_ok(source_finish(s, session));
    assert_ok(vault_session_commit(&s->f->ctx, session));
    vault_session_free(session);
    s->backups++;
    assert_ok(vault_root_open(&s->f->ctx, &place, s->result.info.root, s->result.info.root_sha256,
                              &s->root));
    s->has_root = true;
}

static inline void source_verify(struct source *s, struct vault_verify_report *ret_report)
{
    const struct vault_verify_options options = {
        .place = source_place(s->f), .point = &s->result.info, .threads = 2};

    assert_ok(vault_verify(&s->f->ctx, &options, ret_report));
}

static inline void source_assert_whole(struct source *s)
{
    struct vault_verify_report report;

    source_verify(s, &report);
    if (report.findings_total > 0) {
        fail_msg("%s: %s", report.findings[0].object, report.findings[0].what);
    }
}

#endif
