/* What is printed: forms, columns, and that nobody's text reaches the terminal as a command. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/out.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "holdfast/jobs/v1/jobs.pb-c.h"
#include "tests/unit/unit.h"

/* Clear screen, window title, bell, delete, line break, C1 control, and a quote. */
#define HOSTILE                                                                                    \
    "a\x1b[2J\x1b]0;x\x07\x7f\n\xc2\x9b"                                                           \
    "2Jb\"\\\xc3\xa4"
#define CLEAN "a\\x1b[2J\\x1b]0;x\\x07\\x7f\\x0a\\x9b2Jb\"\\\xc3\xa4"

struct capture {
    struct hf_arena *arena;
    int fd;    /* 1 or 2 */
    int saved; /* what it was */
    int file;
};

static struct capture capture_begin(struct hf_arena *arena, int fd)
{
    char path[] = "/tmp/hf-out-XXXXXX";
    struct capture capture = {.arena = arena, .fd = fd, .file = mkstemp(path)};

    assert_true(capture.file >= 0);
    (void)unlink(path);
    fflush(fd == 1 ? stdout : stderr);
    capture.saved = dup(fd);
    assert_int_equal(dup2(capture.file, fd), fd);
    return capture;
}

static const char *capture_end(struct capture *capture)
{
    char *text = hf_alloc(capture->arena, 1 << 20);
    size_t len = 0;

    fflush(capture->fd == 1 ? stdout : stderr);
    assert_int_equal(dup2(capture->saved, capture->fd), capture->fd);
    close(capture->saved);
    assert_true(hf_is_ok(
        hf_pread_full(capture->arena, capture->file, text, (1 << 20) - 1, 0, "captured", &len)));
    close(capture->file);
    text[len] = '\0';
    return text;
}

static int setup(void **state)
{
    *state = hf_arena_new(64 << 20);
    return 0;
}

static int teardown(void **state)
{
    hf_arena_free(*state);
    return 0;
}

static void test_table__aligns_columns_and_fills_holes(void **state)
{
    const char *const heads[] = {"NAME", "STATE", "SIZE", NULL};
    struct out_table table = out_table_new(*state, heads);
    struct capture capture = capture_begin(*state, 1);

    out_table_row(&table, (const char *const[]){"orders", NULL, "1"});
    out_table_row(&table, (const char *const[]){"a-much-longer-name", "RUNNING", ""});
    out_table_print(&table);
    assert_string_equal(capture_end(&capture), "NAME                STATE    SIZE\n"
                                               "orders              -        1\n"
                                               "a-much-longer-name  RUNNING  -\n");
}

static void test_table__grows(void **state)
{
    const char *const heads[] = {"N", NULL};
    struct out_table table = out_table_new(*state, heads);

    for (int i = 0; i < 1000; i++) {
        out_table_row(&table, (const char *const[]){hf_printf(*state, "%d", i)});
    }
    assert_int_equal(table.rows_len, 1000);
    assert_string_equal(table.rows[0][0], "0");
    assert_string_equal(table.rows[999][0], "999");
}

static void test_table__escapes_control_characters(void **state)
{
    const char *const heads[] = {"NAME", "X", NULL};
    struct out_table table = out_table_new(*state, heads);
    struct capture capture = capture_begin(*state, 1);

    out_table_row(&table, (const char *const[]){HOSTILE, "y"});
    out_table_print(&table);
    const char *text = capture_end(&capture);

    assert_non_null(strstr(text, "\n" CLEAN "  y\n"));
    assert_null(strchr(text, '\x1b'));
}

static void test_field__escapes_control_characters(void **state)
{
    struct capture capture = capture_begin(*state, 1);

    out_field("Error:", HOSTILE);
    out_field("Empty:", "");
    out_field("Nothing:", NULL);
    out_field("", "continued");
    assert_string_equal(capture_end(&capture), "Error:             " CLEAN "\n"
                                               "                   continued\n");
}

static void test_error__is_one_line(void **state)
{
    struct cli cli = {.ctx = {.arena = *state}};
    struct hf_status plain = {.code = HF_NOT_FOUND};
    const struct hf_error_info info = {.reason = "RE\x1bSON"};
    const struct hf_status raw = {HF_INTERNAL, "two\nlines \x1b[1m", &info}; /* not of hf_fail */
    struct capture capture = capture_begin(*state, 2);

    out_error(&cli, raw);
    out_error(&cli, plain);
    assert_string_equal(capture_end(&capture), "error: two\\x0alines \\x1b[1m\n"
                                               "reason: RE\\x1bSON\n"
                                               "error: NOT_FOUND\n");
}

static const char *printed(struct hf_arena *arena, enum cli_output output, bool *ret_is_done)
{
    struct cli cli = {.ctx = {.arena = arena}, .output = output};
    PbJobs__Job job = PB_JOBS__JOB__INIT;
    PbJobs__Job__Progress progress = PB_JOBS__JOB__PROGRESS__INIT;
    char hostile[] = HOSTILE;

    job.name = hostile;
    job.progress = &progress;
    progress.done_bytes = 42;
    struct capture capture = capture_begin(arena, 1);
    struct hf_status status = out_message(&cli, &job.base, ret_is_done);
    const char *text = capture_end(&capture);

    assert_true(hf_is_ok(status));
    return text;
}

/* JSON is printed whole, escaped, and comes back as it was. */
static void test_message__json_comes_back(void **state)
{
    const struct codec_value *value = NULL;
    bool is_done = false;
    const char *text = printed(*state, CLI_JSON, &is_done);

    assert_true(is_done);
    for (const char *at = text; *at != '\0'; at++) {
        assert_true(((unsigned char)*at >= 0x20 && *at != 0x7f) || *at == '\n');
    }
    assert_null(strstr(text, "\xc2\x9b"));
    assert_true(hf_is_ok(codec_json_parse(*state, hf_str_of(text), "out", &value)));
    assert_string_equal(codec_value_text(value, "name"), HOSTILE);
    assert_string_equal(codec_value_text(codec_value_get(value, "progress"), "doneBytes"), "42");
}

static void test_message__yaml_comes_back(void **state)
{
    const struct codec_value *value = NULL;
    bool is_done = false;
    const char *text = printed(*state, CLI_YAML, &is_done);

    assert_true(is_done);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\x07'));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_true(hf_is_ok(codec_yaml_parse(*state, hf_str_of(text), "out", &value)));
    assert_string_equal(codec_value_text(value, "name"), HOSTILE);
}

static void test_message__leaves_the_other_forms_to_the_command(void **state)
{
    bool is_done = true;

    assert_string_equal(printed(*state, CLI_TABLE, &is_done), "");
    assert_false(is_done);
    assert_string_equal(printed(*state, CLI_NAME, &is_done), "");
    assert_false(is_done);
}

static void test_short__is_the_last_name(void **state)
{
    (void)state;
    assert_string_equal(out_short("tenants/t/clusters/c"), "c");
    assert_string_equal(out_short("c"), "c");
    assert_string_equal(out_short("c/"), "");
    assert_string_equal(out_short(NULL), "");
}

static void test_progress__is_json_lines_off_a_terminal(void **state)
{
    struct cli cli = {.ctx = {.arena = *state}, .is_terminal = false};
    struct out_progress progress = out_progress_new(&cli);
    const struct codec_value *value = NULL;
    struct capture capture = capture_begin(*state, 2);

    out_progress_show(*state, &progress,
                      &(struct out_step){"job", "RUNNING",
                                         "rea\x1b"
                                         "ding",
                                         5, 10});
    out_progress_show(*state, &progress,
                      &(struct out_step){"job", "RUNNING",
                                         "rea\x1b"
                                         "ding",
                                         6, 10}); /* too soon */
    out_progress_end(&progress);
    const char *text = capture_end(&capture);

    assert_null(strchr(text, '\x1b'));
    assert_true(strchr(text, '\n') == text + strlen(text) - 1); /* one line */
    assert_true(hf_is_ok(codec_json_parse(*state, hf_str_of(text), "progress", &value)));
    assert_string_equal(codec_value_text(value, "phase"), "rea\x1b"
                                                          "ding");
}

static void test_progress__bar_bears_strange_figures(void **state)
{
    static const int64_t figures[][2] = {
        {0, 0}, {5, 0}, {20, 10}, {INT64_MAX / 40, INT64_MAX / 40}};
    struct cli cli = {.ctx = {.arena = *state}, .is_terminal = true};

    for (size_t i = 0; i < HF_LEN(figures); i++) {
        struct out_progress progress = out_progress_new(&cli);
        struct capture capture = capture_begin(*state, 2);

        out_progress_show(
            *state, &progress,
            &(struct out_step){"job", "RUNNING", "x\x07y", figures[i][0], figures[i][1]});
        out_progress_end(&progress);
        const char *text = capture_end(&capture);

        assert_non_null(strstr(text, "x\\x07y ["));
        assert_null(strchr(text, '\x07'));
    }
}

#define out_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        out_test(test_table__aligns_columns_and_fills_holes),
        out_test(test_table__grows),
        out_test(test_table__escapes_control_characters),
        out_test(test_field__escapes_control_characters),
        out_test(test_error__is_one_line),
        out_test(test_message__json_comes_back),
        out_test(test_message__yaml_comes_back),
        out_test(test_message__leaves_the_other_forms_to_the_command),
        out_test(test_short__is_the_last_name),
        out_test(test_progress__is_json_lines_off_a_terminal),
        out_test(test_progress__bar_bears_strange_figures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
