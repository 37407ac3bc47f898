/* Log lines, read back from the pipe that stands in for stderr. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/unit.h"

static char captured[65536];

/* Log through fn and keep what one read(2) of the pipe gives. */
static const char *capture(void (*fn)(void))
{
    int ends[2];
    int saved = dup(STDERR_FILENO);

    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    fn();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t len = read(ends[0], captured, sizeof(captured) - 1);
    captured[len > 0 ? len : 0] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return captured;
}

static void log_one(void)
{
    struct hf_ctx ctx = {.trace = "req-1"};

    hf_warn(&ctx, HF_EVENT("backup.retried"), HF_TEXT("backup", "a\"b\n\xff"),
            HF_INT("attempt", -3), HF_TEXT("none", NULL));
}

static void log_long(void)
{
    static char text[9000];

    memset(text, '"', sizeof(text) - 1);
    hf_error(NULL, HF_EVENT("big"), HF_TEXT("a", text), HF_TEXT("b", text), HF_TEXT("c", text),
             HF_INT("n", 5));
}

static void log_flood(void)
{
    for (int i = 0; i < 100000; i++) {
        hf_warn(NULL, HF_EVENT("flood"), HF_INT("n", i));
    }
}

static void log_after_flood(void)
{
    hf_warn(NULL, HF_EVENT("flood"));
    hf_warn(NULL, HF_EVENT("other"));
}

static void log_debug(void)
{
    hf_debug(NULL, HF_EVENT("quiet"));
}

static void test_log__line_has_all_fields_escaped(void **state)
{
    const char *line = NULL;
    (void)state;

    hf_log_setup(HF_LOG_INFO, "backup");
    line = capture(log_one);
    assert_memory_equal(line, "{\"time\":\"2", 10);
    assert_non_null(
        strstr(line, "Z\",\"level\":\"warn\",\"component\":\"backup\",\"event\":\"backup.retried\","
                     "\"trace\":\"req-1\",\"backup\":\"a\\\"b\\n\xef\xbf\xbd\",\"attempt\":-3,"
                     "\"none\":null}\n"));
}

static void test_log__long_line_stays_whole_json(void **state)
{
    const char *line = capture(log_long);
    size_t len = strlen(line);
    (void)state;

    assert_in_range(len, 3000, 4096);
    assert_string_equal(line + len - strlen(",\"n\":5,\"truncated\":true}\n"),
                        ",\"n\":5,\"truncated\":true}\n");
    assert_null(strstr(line, "\"c\":"));
}

static void test_log__drops_lines_below_its_level(void **state)
{
    (void)state;
    hf_log_setup(HF_LOG_INFO, "backup");
    assert_string_equal(capture(log_debug), "");
    hf_log_setup(HF_LOG_DEBUG, "backup");
    assert_non_null(strstr(capture(log_debug), "quiet"));
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n' ? 1 : 0;
    }
    return lines;
}

static void test_log__a_flood_of_one_event_is_cut_and_counted(void **state)
{
    (void)state;

    hf_log_setup(HF_LOG_INFO, NULL);
    size_t lines = count_lines(capture(log_flood));
    assert_in_range(lines, 100, 250);
    (void)poll(NULL, 0, 150);
    const char *text = capture(log_after_flood);
    static const char mark[] = "\"event\":\"flood\",\"suppressed\":";
    const char *suppressed = strstr(text, mark);
    assert_non_null(suppressed);
    assert_in_range(strtol(suppressed + strlen(mark), NULL, 10), 100000 - 250, 100000);
    assert_non_null(strstr(text, "\"event\":\"other\"}"));
}

static void test_log__a_full_disk_is_told_by_the_next_line(void **state)
{
    int saved = dup(STDERR_FILENO);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(dup2(full, STDERR_FILENO) >= 0);
    log_one();
    log_one();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(full);
    const char *line = capture(log_one);
    if (strstr(line, "\"dropped\":2}") == NULL) {
        fail_msg("%s", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__line_has_all_fields_escaped),
        cmocka_unit_test(test_log__long_line_stays_whole_json),
        cmocka_unit_test(test_log__drops_lines_below_its_level),
        cmocka_unit_test(test_log__a_flood_of_one_event_is_cut_and_counted),
        cmocka_unit_test(test_log__a_full_disk_is_told_by_the_next_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
