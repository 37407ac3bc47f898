/* Members of a base backup's tar as an honest server sends them, and as none does. */
#include "backup/work/capture.h"
#include "tests/unit/libs/vault/source_fixture.h"

struct scene {
    struct source source;
    struct vault_session *session;
    struct capture capture;
    struct pgwire_backup_events events;
    struct hf_ctx ctx; /* with an arena of its own: it is emptied between members */
};

static void scene_make(struct scene *s, struct fixture *f)
{
    memset(s, 0, sizeof(*s));
    source_init(&s->source, f);
    s->session = source_begin(&s->source);
    s->ctx = f->ctx;
    s->ctx.arena = hf_arena_new(1 << 20);
    capture_init(&s->capture, &s->ctx, s->session);
    s->events = capture_events(&s->capture);
}

static void scene_done(struct scene *s)
{
    capture_done(&s->capture);
    vault_session_abort(&s->source.f->ctx, s->session);
    hf_arena_free(s->ctx.arena);
    source_free(&s->source);
}

static struct hf_status send(struct scene *s, enum pgf_tar_kind kind, const char *path)
{
    const struct pgf_tar_member member = {.path = path,
                                          .link = kind == PGF_TAR_SYMLINK ? "/elsewhere" : "",
                                          .kind = kind,
                                          .mode = 07777};

    HF_TRY(s->events.tar.header(s->events.tar.arg, &member));
    return s->events.tar.end(s->events.tar.arg);
}

static void test_capture__takes_what_a_server_sends(void **state)
{
    static const struct {
        enum pgf_tar_kind kind;
        const char *path;
    } members[] = {
        {PGF_TAR_FILE, "backup_label"},       {PGF_TAR_FILE, "tablespace_map"},
        {PGF_TAR_DIRECTORY, "pg_wal"},        {PGF_TAR_DIRECTORY, "pg_wal/archive_status"},
        {PGF_TAR_DIRECTORY, "base"},          {PGF_TAR_DIRECTORY, "base/1"},
        {PGF_TAR_FILE, "base/1/1259"},        {PGF_TAR_DIRECTORY, "pg_tblspc"},
        {PGF_TAR_SYMLINK, "pg_tblspc/16400"}, {PGF_TAR_FILE, "PG_VERSION"},
    };
    struct scene s;

    scene_make(&s, *state);
    for (size_t i = 0; i < HF_LEN(members); i++) {
        assert_ok(send(&s, members[i].kind, members[i].path));
    }
    assert_ok(s.events.archive_begin(s.events.arg, 16400, "/srv/space"));
    assert_ok(send(&s, PGF_TAR_DIRECTORY, "PG_15_202209061"));
    assert_ok(send(&s, PGF_TAR_DIRECTORY, "PG_15_202209061/5"));
    assert_ok(send(&s, PGF_TAR_FILE, "PG_15_202209061/5/16401"));
    scene_done(&s);
}

static void test_capture__refuses_what_none_sends(void **state)
{
    static const struct {
        enum pgf_tar_kind kind;
        const char *path;
        uint32_t archive;
        const char *what;
    } members[] = {
        {PGF_TAR_SYMLINK, "aa", 0, "a link"},
        {PGF_TAR_SYMLINK, "base/1", 0, "a link"},
        {PGF_TAR_SYMLINK, "pg_tblspc/aa", 0, "a link"},
        {PGF_TAR_SYMLINK, "pg_tblspc/16400/x", 0, "a link"},
        {PGF_TAR_SYMLINK, "pg_tblspc/016400", 0, "a link"},
        {PGF_TAR_SYMLINK, "PG_15", 16400, "a link"},
        {PGF_TAR_FILE, "aa/file", 0, "the directory"},
        {PGF_TAR_FILE, "base", 0, "as a directory"},
        {PGF_TAR_DIRECTORY, "base", 0, "as a directory"},
        {PGF_TAR_FILE, "PG_VERSION/x", 0, "the directory"},
        {PGF_TAR_FILE, "PG_15/5", 16400, "the directory"},
        {PGF_TAR_FILE, "base/../x", 0, "no data directory"},
        {PGF_TAR_FILE, "base/a\nb", 0, "no data directory"},
    };
    struct scene s;

    scene_make(&s, *state);
    assert_ok(send(&s, PGF_TAR_DIRECTORY, "base"));
    assert_ok(send(&s, PGF_TAR_DIRECTORY, "pg_tblspc"));
    assert_ok(send(&s, PGF_TAR_FILE, "PG_VERSION"));
    for (size_t i = 0; i < HF_LEN(members); i++) {
        assert_ok(s.events.archive_begin(s.events.arg, members[i].archive, "/x"));
        struct hf_status status = send(&s, members[i].kind, members[i].path);

        if (status.code != HF_DATA_LOSS || strstr(status.message, members[i].what) == NULL) {
            fail_msg("%s: %s: %s", members[i].path, hf_code_name(status.code), status.message);
        }
    }
    scene_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_capture__takes_what_a_server_sends),
        fixture_test(test_capture__refuses_what_none_sends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
