/* Configuration of a restored server: what is taken out, what is written, and how it is quoted. */
#include <fcntl.h>
#include <sys/stat.h>

#include "pgformat/conf.h"
#include "pgformat/control.h"
#include "tests/unit/libs/restore/restore_fixture.h"

struct scene {
    struct fixture *f;
    const char *dir;
    struct restore_options options;
    struct restore_plan plan;
    struct restore restore;
};

static void scene_done_cleanup(struct scene *s)
{
    restore_dir_close(&s->restore);
}

/* s: zeroed, or made before. */
static void scene_make(struct scene *s, struct fixture *f)
{
    scene_done_cleanup(s);
    *s = (struct scene){.f = f, .dir = hf_printf(f->ctx.arena, "%s/data", f->dir)};
    assert_int_equal(mkdir(s->dir, 0700), 0);
    s->options = (struct restore_options){.dir = s->dir, .cluster = "orders"};
    s->plan = (struct restore_plan){.recovery = RESTORE_LATEST, .history = {.timeline = 3}};
    s->restore = (struct restore){.ctx = &f->ctx, .options = &s->options};
    int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    *HF_VEC_ADD(f->ctx.arena, &s->restore.dirs) =
        (struct restore_dir){.path = s->dir, .found = {.fd = -1}, .fd = fd, .parent = -1};
}

static void put(const struct scene *s, const char *name, const char *text)
{
    assert_ok(hf_create_file(s->f->ctx.arena, hf_path_join(s->f->ctx.arena, s->dir, name), text,
                             strlen(text), 0600));
}

static const char *text_of(const struct scene *s, const char *name)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 1 << 20);
    assert_ok(hf_read_file(s->f->ctx.arena, hf_path_join(s->f->ctx.arena, s->dir, name), &buf));
    return hf_strdup(s->f->ctx.arena, hf_buf_text(&buf));
}

static struct hf_status write_all(struct scene *s)
{
    restore_made_files made = {0};

    s->restore.options = &s->options;
    return restore_conf_write(&s->restore, &s->plan, &made);
}

/* What the server would see of a setting. */
static const char *setting(const struct scene *s, const char *name)
{
    struct hf_arena *arena = s->f->ctx.arena;
    const char *value = pgf_conf_get(arena, hf_str_of(text_of(s, "postgresql.auto.conf")), name);

    return value != NULL ? value
                         : pgf_conf_get(arena, hf_str_of(text_of(s, "postgresql.conf")), name);
}

static void test_conf__clears_what_belongs_to_the_source(void **state)
{
    static const char *const cleared[] = {"synchronous_standby_names",
                                          "archive_mode",
                                          "archive_command",
                                          "archive_library",
                                          "archive_cleanup_command",
                                          "primary_conninfo",
                                          "primary_slot_name",
                                          "recovery_target_time",
                                          "recovery_end_command",
                                          "data_directory",
                                          "hba_file",
                                          "ident_file",
                                          "external_pid_file"};
    HF_CLEANUP(scene_done) struct scene s = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf conf = {0};

    scene_make(&s, *state);
    hf_buf_init(&conf, 65536);
    for (size_t i = 0; i < HF_LEN(cleared); i++) {
        hf_buf_printf(&conf, "%s = 'x'\n", cleared[i]);
    }
    hf_buf_text_append(&conf, "work_mem = 7MB\n");
    put(&s, "postgresql.conf", hf_buf_text(&conf));
    put(&s, "postgresql.auto.conf", hf_buf_text(&conf));
    assert_ok(write_all(&s));
    for (size_t i = 0; i < HF_LEN(cleared); i++) {
        assert_null(setting(&s, cleared[i]));
    }
    assert_string_equal(setting(&s, "work_mem"), "7MB");
    assert_non_null(strstr(text_of(&s, "postgresql.conf"), "# holdfast removed: hba_file"));
}

/* PostgreSQL's names have no case: a directory of the source must not slip through. */
static void test_conf__clears_names_in_any_case(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};

    scene_make(&s, *state);
    put(&s, "postgresql.conf",
        "Data_Directory = '/srv/source'\nHBA_FILE '/etc/x'\nPrimary_ConnInfo='host=x'\n");
    assert_ok(write_all(&s));
    assert_null(setting(&s, "data_directory"));
    assert_null(setting(&s, "hba_file"));
    assert_null(setting(&s, "primary_conninfo"));
}

static void test_conf__writes_recovery_to_the_end(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};

    scene_make(&s, *state);
    put(&s, "postgresql.conf", "");
    assert_ok(write_all(&s));
    assert_string_equal(setting(&s, "restore_command"), "false");
    assert_string_equal(setting(&s, "recovery_target_timeline"), "3");
    assert_null(setting(&s, "recovery_target_action"));
    assert_null(setting(&s, "recovery_target_inclusive"));
    assert_string_equal(text_of(&s, "recovery.signal"), "");
}

static void test_conf__writes_each_target(void **state)
{
    static const struct {
        struct restore_target target;
        const char *name;
        const char *value;
    } cases[] = {
        {{.kind = RESTORE_IMMEDIATE}, "recovery_target", "immediate"},
        {{.kind = RESTORE_TIME, .time_us = T(0) + 5},
         "recovery_target_time",
         "2023-11-14 22:13:20.000005+00"},
        {{.kind = RESTORE_LSN, .lsn = 0x1500000028}, "recovery_target_lsn", "15/28"},
        {{.kind = RESTORE_XID, .xid = 4294967299}, "recovery_target_xid", "4294967299"},
        {{.kind = RESTORE_NAME, .name = "before"}, "recovery_target_name", "before"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        HF_CLEANUP(scene_done) struct scene s = {0};

        scene_make(&s, f);
        put(&s, "postgresql.conf", "");
        s.options.target = cases[i].target;
        s.options.target.is_exclusive = i % 2 == 1;
        s.plan.recovery = cases[i].target.kind;
        assert_ok(write_all(&s));
        assert_string_equal(setting(&s, cases[i].name), cases[i].value);
        assert_string_equal(setting(&s, "recovery_target_inclusive"), i % 2 == 1 ? "off" : "on");
        assert_ok(hf_remove_tree(f->ctx.arena, s.dir));
    }
}

/* The end of WAL stands in for a time: it is inclusive whatever was asked. */
static void test_conf__an_lsn_of_the_plan_is_inclusive(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};

    scene_make(&s, *state);
    put(&s, "postgresql.conf", "");
    s.options.target =
        (struct restore_target){.kind = RESTORE_TIME, .time_us = T(9), .is_exclusive = true};
    s.plan.recovery = RESTORE_LSN;
    s.plan.recovery_lsn = 0x2000060;
    assert_ok(write_all(&s));
    assert_string_equal(setting(&s, "recovery_target_lsn"), "0/2000060");
    assert_string_equal(setting(&s, "recovery_target_inclusive"), "on");
    assert_null(setting(&s, "recovery_target_time"));
}

static void test_conf__a_pause_needs_a_hot_standby(void **state)
{
    static const char *const actions[] = {"promote", "pause", "shutdown"};
    struct fixture *f = *state;

    for (unsigned i = 0; i < HF_LEN(actions); i++) {
        HF_CLEANUP(scene_done) struct scene s = {0};

        scene_make(&s, f);
        put(&s, "postgresql.conf", "hot_standby = off\n");
        s.options.target = (struct restore_target){.kind = RESTORE_XID, .xid = 5};
        s.options.action = (enum restore_action)i;
        s.plan.recovery = RESTORE_XID;
        assert_ok(write_all(&s));
        assert_string_equal(setting(&s, "recovery_target_action"), actions[i]);
        assert_string_equal(setting(&s, "hot_standby"),
                            s.options.action == RESTORE_PAUSE ? "on" : "off");
        assert_ok(hf_remove_tree(f->ctx.arena, s.dir));
    }
}

static void test_conf__quotes_hostile_names(void **state)
{
    static const char *const names[] = {
        "it's", "'; archive_command = 'x", "back\\slash\\'", "# comment", "tab\there", "%s%n", "ä",
        "''''"};
    struct fixture *f = *state;

    for (size_t i = 0; i < HF_LEN(names); i++) {
        HF_CLEANUP(scene_done) struct scene s = {0};

        scene_make(&s, f);
        put(&s, "postgresql.conf", "");
        s.options.target = (struct restore_target){.kind = RESTORE_NAME, .name = names[i]};
        s.plan.recovery = RESTORE_NAME;
        assert_ok(write_all(&s));
        assert_string_equal(setting(&s, "recovery_target_name"), names[i]);
        assert_null(setting(&s, "archive_command"));
        assert_ok(hf_remove_tree(f->ctx.arena, s.dir));
    }
}

/* A target that cannot be written must not become "to the end". */
static void test_conf__refuses_a_name_with_a_line_break(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};

    scene_make(&s, *state);
    put(&s, "postgresql.conf", "");
    s.options.target = (struct restore_target){.kind = RESTORE_NAME, .name = "a\nport = 1"};
    s.plan.recovery = RESTORE_NAME;
    assert_code(write_all(&s), HF_INVALID_ARGUMENT);
    assert_false(hf_path_exists(hf_path_join(s.f->ctx.arena, s.dir, "recovery.signal")));
}

/* Debian keeps the configuration elsewhere: limits of the source come from its control file. */
static void test_conf__makes_what_is_missing(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};
    struct stat mode;

    scene_make(&s, *state);
    assert_int_equal(mkdir(hf_path_join(s.f->ctx.arena, s.dir, "global"), 0700), 0);
    put(&s, RESTORE_CONTROL_TEMP, "not a control file");
    assert_code(write_all(&s), HF_DATA_LOSS);
    put(&s, "postgresql.conf", "");
    assert_ok(write_all(&s));
    assert_non_null(strstr(text_of(&s, "pg_hba.conf"), "local all all peer"));
    assert_null(strstr(text_of(&s, "pg_hba.conf"), "trust"));
    assert_non_null(text_of(&s, "pg_ident.conf"));
    assert_int_equal(stat(hf_path_join(s.f->ctx.arena, s.dir, "pg_hba.conf"), &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0600);
    assert_int_equal(s.restore.notes.len, 2);
}

static void test_conf__keeps_the_sources_own_hba(void **state)
{
    HF_CLEANUP(scene_done) struct scene s = {0};

    scene_make(&s, *state);
    put(&s, "postgresql.conf", "");
    put(&s, "pg_hba.conf", "local all all md5\n");
    assert_ok(write_all(&s));
    assert_string_equal(text_of(&s, "pg_hba.conf"), "local all all md5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_conf__clears_what_belongs_to_the_source),
        fixture_test(test_conf__clears_names_in_any_case),
        fixture_test(test_conf__writes_recovery_to_the_end),
        fixture_test(test_conf__writes_each_target),
        fixture_test(test_conf__an_lsn_of_the_plan_is_inclusive),
        fixture_test(test_conf__a_pause_needs_a_hot_standby),
        fixture_test(test_conf__quotes_hostile_names),
        fixture_test(test_conf__refuses_a_name_with_a_line_break),
        fixture_test(test_conf__makes_what_is_missing),
        fixture_test(test_conf__keeps_the_sources_own_hba),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
