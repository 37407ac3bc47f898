/* Configuration: which source wins, what is refused and how it is said. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "svc/config.h"
#include "tests/unit/unit.h"

struct sample {
    const char *listen;
    const char *secret;
    const char *needed;
    int64_t workers;
    int64_t cache_bytes;
    int64_t beat_us;
    bool is_strict;
};

static const struct svc_field fields[] = {
    {.key = "api.listen",
     .env = "SAMPLE_LISTEN",
     .flag = "listen",
     .type = SVC_TEXT,
     .offset = offsetof(struct sample, listen),
     .fallback = "127.0.0.1:1",
     .min = 1,
     .max = 40,
     .help = "address of the API"},
    {.key = "secret",
     .env = "SAMPLE_SECRET",
     .type = SVC_TEXT,
     .offset = offsetof(struct sample, secret),
     .max = 8,
     .is_fixed = true,
     .help = "a secret"},
    {.key = "needed",
     .env = "SAMPLE_NEEDED",
     .flag = "needed",
     .type = SVC_TEXT,
     .offset = offsetof(struct sample, needed),
     .min = 1,
     .max = 8,
     .help = "a text that must be given"},
    {.key = "workers",
     .env = "SAMPLE_WORKERS",
     .flag = "workers",
     .type = SVC_INT,
     .offset = offsetof(struct sample, workers),
     .fallback = "4",
     .min = 1,
     .max = 64,
     .help = "threads that work"},
    {.key = "cache.size",
     .flag = "cache-size",
     .type = SVC_SIZE,
     .offset = offsetof(struct sample, cache_bytes),
     .fallback = "64MiB",
     .min = 4096,
     .max = INT64_C(1) << 40,
     .help = "room of the cache"},
    {.key = "beat",
     .flag = "beat",
     .type = SVC_DURATION,
     .offset = offsetof(struct sample, beat_us),
     .fallback = "5s",
     .min = 1000000,
     .max = 60000000,
     .help = "time between two beats"},
    {.key = "strict",
     .flag = "strict",
     .type = SVC_BOOL,
     .offset = offsetof(struct sample, is_strict),
     .fallback = "false",
     .help = "refuse more"},
};

static const struct svc_program program = {
    .name = "sample",
    .summary = "shows settings",
    .version = "1.2.3",
    .fields = fields,
    .fields_len = HF_LEN(fields),
};

/* An environment of one variable, "NAME=value". */
static const char *one_variable(const char *name, void *arg)
{
    const char *setting = arg;
    size_t len = strlen(name);

    return setting != NULL && strncmp(setting, name, len) == 0 && setting[len] == '='
               ? setting + len + 1
               : NULL;
}

#define ARGS(...) ((const char *const[]){"sample", __VA_ARGS__, NULL})

static struct hf_status load(struct hf_arena *arena, const char *const *argv, const char *variable,
                             struct sample *ret_sample, struct svc_common *ret_common)
{
    char setting[256] = "";
    struct svc_sources sources = {.argv = argv, .env = one_variable};

    while (argv[sources.argc] != NULL) {
        sources.argc++;
    }
    if (variable != NULL) {
        memcpy(setting, variable, strlen(variable) + 1);
        sources.env_arg = setting;
    }
    memset(ret_sample, 0, sizeof(*ret_sample));
    return svc_config_load(arena, &program, &sources, ret_sample, ret_common);
}

static void assert_refused(const char *const *argv, const char *variable, const char *message)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    struct svc_common common;
    struct sample sample;
    struct hf_status status = load(arena, argv, variable, &sample, &common);

    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_string_equal(status.message, message);
}

static void test_config__fallbacks_fill_the_struct(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    struct svc_common common;
    struct sample sample;
    (void)state;

    assert_true(hf_is_ok(load(arena, ARGS("--needed", "x"), NULL, &sample, &common)));
    assert_string_equal(sample.listen, "127.0.0.1:1");
    assert_null(sample.secret);
    assert_int_equal(sample.workers, 4);
    assert_int_equal(sample.cache_bytes, 64 << 20);
    assert_int_equal(sample.beat_us, 5000000);
    assert_false(sample.is_strict);
    assert_int_equal(common.wish, SVC_RUN);
    assert_string_equal(common.log_level, "info");
}

static void test_config__flag_wins_over_environment_over_file(void **state)
{
    static const char yaml[] = "needed: x\nworkers: 7\nlog:\n  level: warn\napi:\n  listen: f:2\n";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    char path[] = "/tmp/hf-config-test-XXXXXX";
    int fd = mkstemp(path);
    struct svc_common common;
    struct sample sample;
    (void)state;

    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    close(fd);
    assert_true(
        hf_is_ok(load(arena, ARGS("--config", path), "SAMPLE_WORKERS=8", &sample, &common)));
    assert_int_equal(sample.workers, 8);
    assert_string_equal(sample.listen, "f:2");
    assert_string_equal(common.log_level, "warn");
    assert_true(hf_is_ok(load(arena, ARGS("--config", path, "--workers=9", "--strict"),
                              "SAMPLE_WORKERS=8", &sample, &common)));
    assert_int_equal(sample.workers, 9);
    assert_true(sample.is_strict);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(load(arena, ARGS("--config", path), NULL, &sample, &common).code,
                     HF_NOT_FOUND);
}

static void test_config__refuses_a_file_that_others_write(void **state)
{
    static const char yaml[] = "needed: x\n";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    char path[] = "/tmp/hf-config-test-XXXXXX";
    int fd = mkstemp(path);
    struct svc_common common;
    struct sample sample;
    (void)state;

    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    assert_int_equal(fchmod(fd, 0666), 0);
    close(fd);
    struct hf_status status = load(arena, ARGS("--config", path), NULL, &sample, &common);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_non_null(strstr(status.message, "chmod go-w"));
    assert_int_equal(unlink(path), 0);
}

/* What `holdfast up` relies on is not the operator's to set, and neither is which file that is. */
static void test_config__overrides_cannot_set_what_is_fixed(void **state)
{
    static const char *const fixed[] = {"secret", "overrides_file"};
    (void)state;

    for (size_t i = 0; i < HF_LEN(fixed); i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
        char path[] = "/tmp/hf-config-test-XXXXXX";
        int fd = mkstemp(path);
        const char *yaml = hf_printf(arena, "workers: 9\n%s: /x\n", fixed[i]);

        assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
        close(fd);
        assert_refused(ARGS("--needed", "x", "--overrides", path), NULL,
                       hf_printf(arena,
                                 "%s:2: %s is none of the settings that can be overridden: take it "
                                 "out",
                                 path, fixed[i]));
        assert_int_equal(unlink(path), 0);
    }
}

/* The operator's limits may lie on a disk that is not mounted yet. */
static void test_config__overrides_may_be_absent_but_no_link_to_nothing(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    char path[] = "/tmp/hf-config-test-XXXXXX";
    int fd = mkstemp(path);
    struct svc_common common;
    struct sample sample;
    (void)state;

    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_true(
        hf_is_ok(load(arena, ARGS("--needed", "x", "--overrides", path), NULL, &sample, &common)));
    assert_int_equal(symlink("/nonexistent/overrides.yaml", path), 0);
    struct hf_status status =
        load(arena, ARGS("--needed", "x", "--overrides", path), NULL, &sample, &common);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_non_null(strstr(status.message, path));
}

static void test_config__refusals_name_source_and_expectation(void **state)
{
    (void)state;
    assert_refused(ARGS("--workes", "3"), NULL, "unknown flag --workes (did you mean --workers?)");
    assert_refused(ARGS("--zzzzzzzzz", "3"), NULL, "unknown flag --zzzzzzzzz");
    assert_refused(ARGS("--workers"), NULL, "--workers needs a value");
    assert_refused(ARGS("--workers=1", "--workers=2"), NULL, "--workers is given twice");
    assert_refused(ARGS("start"), NULL, "unexpected argument \"start\": every setting is a --flag");
    assert_refused(ARGS("--workers=65"), NULL, "--workers: \"65\" is not a number from 1 to 64");
    assert_refused(ARGS("--beat=30"), NULL,
                   "--beat: \"30\" is not a time span such as 30s, from 1.0s to 1m 0s");
    assert_refused(ARGS("--strict=yes"), NULL, "--strict: \"yes\" is not true or false");
    assert_refused(ARGS("--log-level=loud"), NULL,
                   "--log-level: \"loud\" is not debug, info, warn or error");
    assert_refused(ARGS("--strict"), NULL,
                   "needed is missing: give --needed or SAMPLE_NEEDED (a text that must be "
                   "given)");
    assert_refused(ARGS("--listen="), NULL, "--listen: \"\" is not a text from 1 to 40 bytes");
}

static void test_config__never_shows_a_secret(void **state)
{
    (void)state;
    assert_refused(ARGS("--needed=x"), "SAMPLE_SECRET=far-too-long",
                   "SAMPLE_SECRET: expected a text from 0 to 8 bytes");
    assert_refused(ARGS("--secret=abc"), NULL, "unknown flag --secret");
}

static void test_config__file_errors_name_the_line(void **state)
{
    static const struct {
        const char *yaml;
        const char *message;
    } rows[] = {
        {"workers: 3\nworker: 3\n", "c.yaml:2: unknown key worker (did you mean workers?)"},
        {"api:\n  listne: a\n", "c.yaml:2: unknown key api.listne (did you mean api.listen?)"},
        {"workers: many\n", "c.yaml:1: workers: \"many\" is not a number from 1 to 64"},
        {"workers: [1]\n", "c.yaml:1: workers: expected a number from 1 to 64"},
        {"api: 3\n", "c.yaml:1: unknown key api"},
        {"- a\n", "c.yaml: expected keys and values, not array"},
        {"a: &x 1\n", "c.yaml: line 1: anchors and tags are not taken"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    struct sample sample = {0};
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        struct hf_status status =
            svc_config_parse(arena, &program, hf_str_of(rows[i].yaml), "c.yaml", &sample);
        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_string_equal(status.message, rows[i].message);
    }
    assert_true(hf_is_ok(
        svc_config_parse(arena, &program, HF_STR("api:\nstrict: ~\nworkers: 5"), "c", &sample)));
    assert_int_equal(sample.workers, 5);
}

static void test_config__help_lists_every_field(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf help = {0};
    struct svc_common common;
    struct sample sample;
    (void)state;

    assert_true(hf_is_ok(load(arena, ARGS("--help", "--what"), NULL, &sample, &common)));
    assert_int_equal(common.wish, SVC_SHOW_HELP);
    assert_true(hf_is_ok(load(arena, ARGS("--version"), NULL, &sample, &common)));
    assert_int_equal(common.wish, SVC_SHOW_VERSION);
    hf_buf_init(&help, 1 << 16);
    svc_config_help(&program, &help);
    for (size_t i = 0; i < HF_LEN(fields); i++) {
        assert_non_null(strstr(hf_buf_text(&help), fields[i].help));
    }
    assert_non_null(strstr(hf_buf_text(&help), "--cache-size SIZE\n"));
    assert_non_null(strstr(hf_buf_text(&help), "from 4.0 KiB to 1.0 TiB; key cache.size; default "
                                               "64MiB"));
    assert_non_null(strstr(hf_buf_text(&help), "  SAMPLE_SECRET TEXT\n"));
    assert_non_null(strstr(hf_buf_text(&help), "--log-level"));
}

static void test_values__parse_sizes_and_durations(void **state)
{
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "-1s",
                                      "1 s",
                                      "1.5s",
                                      "1sec",
                                      "1m30s",
                                      "9223372036854775807d",
                                      "99999999999999999999999s"};
    int64_t value = 0;
    (void)state;

    assert_true(svc_parse_size("4096", &value));
    assert_int_equal(value, 4096);
    assert_true(svc_parse_size("2GiB", &value));
    assert_int_equal(value, INT64_C(2) << 30);
    assert_false(svc_parse_size("2GB", &value));
    assert_false(svc_parse_size("99999999TiB", &value));
    assert_true(svc_parse_duration("250ms", &value));
    assert_int_equal(value, 250000);
    assert_true(svc_parse_duration("7d", &value));
    assert_int_equal(value, INT64_C(604800000000));
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_false(svc_parse_duration(bad[i], &value));
    }
}

static void test_getenv__takes_empty_for_unset(void **state)
{
    (void)state;
    assert_int_equal(setenv("HF_SAMPLE_VARIABLE", "", 1), 0);
    assert_null(svc_getenv("HF_SAMPLE_VARIABLE"));
    assert_int_equal(setenv("HF_SAMPLE_VARIABLE", "x", 1), 0);
    assert_string_equal(svc_getenv("HF_SAMPLE_VARIABLE"), "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__fallbacks_fill_the_struct),
        cmocka_unit_test(test_config__flag_wins_over_environment_over_file),
        cmocka_unit_test(test_config__refuses_a_file_that_others_write),
        cmocka_unit_test(test_config__overrides_cannot_set_what_is_fixed),
        cmocka_unit_test(test_config__overrides_may_be_absent_but_no_link_to_nothing),
        cmocka_unit_test(test_config__refusals_name_source_and_expectation),
        cmocka_unit_test(test_config__never_shows_a_secret),
        cmocka_unit_test(test_config__file_errors_name_the_line),
        cmocka_unit_test(test_config__help_lists_every_field),
        cmocka_unit_test(test_values__parse_sizes_and_durations),
        cmocka_unit_test(test_getenv__takes_empty_for_unset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
