/* argv against the table of commands. */
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"
#include "cli/parse.h"
#include "tests/unit/unit.h"

#define WORDS_MAX 80

struct parsed {
    struct cli cli;
    enum parse_wish wish;
    const char *group;
    struct hf_status status;
};

static int setup(void **state)
{
    *state = hf_arena_new(16 << 20);
    return 0;
}

static int teardown(void **state)
{
    hf_arena_free(*state);
    return 0;
}

/* The words of a NULL-terminated list behind the program's name. */
static struct parsed parse(struct hf_arena *arena, const char *const *words)
{
    const char *argv[WORDS_MAX + 2] = {"holdfast"};
    struct parsed parsed = {.cli = {.ctx = {.arena = arena}, .exit_code = -1}};
    int argc = 1;

    while (words[argc - 1] != NULL) {
        assert_true(argc < WORDS_MAX);
        argv[argc] = words[argc - 1];
        argc++;
    }
    parsed.status = parse_args(&parsed.cli, argc, argv, &parsed.wish, &parsed.group);
    return parsed;
}

#define PARSE(...) parse(*state, (const char *const[]){__VA_ARGS__, NULL})

static void assert_usage(const struct parsed *parsed, const char *part)
{
    assert_int_equal(parsed->status.code, HF_INVALID_ARGUMENT);
    if (strstr(parsed->status.message, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", parsed->status.message, part);
    }
}

static void test_parse__finds_commands_of_one_and_two_words(void **state)
{
    struct parsed info = PARSE("info");
    struct parsed add = PARSE("cluster", "add", "orders", "--dsn", "host=x");

    assert_true(hf_is_ok(info.status) && hf_is_ok(add.status));
    assert_string_equal(info.cli.command->path, "info");
    assert_string_equal(add.cli.command->path, "cluster add");
    assert_int_equal(add.wish, PARSE_RUN);
    assert_int_equal(add.cli.args_len, 1);
    assert_string_equal(cli_arg(&add.cli, 0), "orders");
    assert_null(cli_arg(&add.cli, 1));
    assert_string_equal(cli_option(&add.cli, "dsn"), "host=x");
    assert_string_equal(add.cli.tenant, "default");
}

static void test_parse__takes_options_anywhere(void **state)
{
    struct parsed before = PARSE("--dir", "/x", "-o", "json", "--tenant", "acme", "backup", "list");
    struct parsed between = PARSE("backup", "--dir=/x", "list", "--tenant=acme", "-o", "json");
    struct parsed after =
        PARSE("backup", "list", "--tenant", "acme", "--output", "json", "--dir", "/x");
    const struct parsed *const all[] = {&before, &between, &after};

    for (size_t i = 0; i < HF_LEN(all); i++) {
        assert_true(hf_is_ok(all[i]->status));
        assert_string_equal(all[i]->cli.command->path, "backup list");
        assert_string_equal(cli_option(&all[i]->cli, "dir"), "/x");
        assert_string_equal(all[i]->cli.tenant, "acme");
        assert_int_equal(all[i]->cli.output, CLI_JSON);
    }
}

static void test_parse__keeps_values_as_they_are(void **state)
{
    struct parsed equals = PARSE("cluster", "add", "x", "--dsn=host=a user=b");
    struct parsed empty = PARSE("cluster", "add", "x", "--dsn=");
    struct parsed dashes = PARSE("cluster", "add", "x", "--dsn", "--dsn");
    struct parsed last = PARSE("cluster", "add", "x", "--dsn", "1", "--dsn", "2");

    assert_string_equal(cli_option(&equals.cli, "dsn"), "host=a user=b");
    assert_string_equal(cli_option(&empty.cli, "dsn"), "");
    assert_string_equal(cli_option(&dashes.cli, "dsn"), "--dsn");
    assert_string_equal(cli_option(&last.cli, "dsn"), "2");
    assert_string_equal(cli_option_at(&last.cli, "dsn", 0), "1");
    assert_null(cli_option_at(&last.cli, "dsn", 2));
}

static void test_parse__two_dashes_end_the_options(void **state)
{
    struct parsed parsed = PARSE("backup", "describe", "--", "--strange-name");

    assert_true(hf_is_ok(parsed.status));
    assert_string_equal(cli_arg(&parsed.cli, 0), "--strange-name");
}

static void test_parse__suggests_the_nearest_command(void **state)
{
    struct parsed group = PARSE("clutser", "add", "x");
    struct parsed word = PARSE("cluster", "lst");
    struct parsed one = PARSE("inof");
    struct parsed far = PARSE("zzzzzzzzzzzz");

    assert_usage(&group, "did you mean `holdfast cluster add`?");
    assert_usage(&word, "did you mean `holdfast cluster list`?");
    assert_usage(&one, "did you mean `holdfast info`?");
    assert_usage(&far, "see `holdfast --help`");
    assert_int_equal(cli_exit_of(far.status), CLI_USAGE);
}

static void test_parse__suggests_the_nearest_option(void **state)
{
    struct parsed near = PARSE("backup", "create", "x", "--wiat");
    struct parsed far = PARSE("backup", "create", "x", "--quite-another");
    struct parsed single = PARSE("backup", "create", "x", "-w");

    assert_usage(&near, "unknown option --wiat; did you mean --wait?");
    assert_usage(&far, "see `holdfast backup create --help`");
    assert_usage(&single, "unknown option -w");
}

static void test_parse__refuses_wrong_counts_and_values(void **state)
{
    static const struct {
        const char *words[6];
        const char *said;
    } cases[] = {
        {{"backup", "describe"}, "missing argument: holdfast backup describe"},
        {{"backup", "describe", "a", "b"}, "unexpected argument b"},
        {{"cluster", "add", "x", "--dsn"}, "option --dsn needs a value"},
        {{"backup", "create", "x", "--wait=yes"}, "option --wait takes no value"},
        {{"info", "-o", "xml"}, "-o must be table, json, yaml or name, not xml"},
        {{"info", "-o"}, "needs a value"},
    };

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct parsed parsed = parse(*state, cases[i].words);

        assert_usage(&parsed, cases[i].said);
    }
}

static void test_parse__tells_help_and_version(void **state)
{
    static const struct {
        const char *words[4];
        enum parse_wish wish;
        const char *group;
    } cases[] = {
        {{NULL}, PARSE_HELP, ""},
        {{"cluster"}, PARSE_HELP, "cluster"},
        {{"cluster", "add", "--help"}, PARSE_HELP, ""}, /* although its argument is missing */
        {{"-h"}, PARSE_HELP, ""},
        {{"--version"}, PARSE_VERSION, ""},
    };

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct parsed parsed = parse(*state, cases[i].words);

        assert_true(hf_is_ok(parsed.status));
        assert_int_equal(parsed.wish, cases[i].wish);
        assert_string_equal(parsed.group, cases[i].group);
    }
}

static void test_parse__bears_hostile_words(void **state)
{
    char *longest = hf_alloc(*state, 100001);

    memset(longest, 'x', 100000);
    longest[100000] = '\0';
    const char *const words[] = {"", " ", "-", "--", "---", "--=", "=", "\x1b[2J", "%s%n", longest};

    for (size_t i = 0; i < HF_LEN(words); i++) {
        struct parsed first = PARSE(words[i]);
        struct parsed second = PARSE("cluster", words[i]);
        struct parsed third = PARSE("cluster", "list", words[i]);

        (void)first;
        assert_true(second.wish == PARSE_HELP || !hf_is_ok(second.status));
        assert_true(!hf_is_ok(third.status) || hf_text_equal(words[i], "--"));
    }
}

static void test_parse__bounds_options_and_arguments(void **state)
{
    const char *words[WORDS_MAX] = {"backup", "create", "x"};
    size_t len = 3;

    while (len < 3 + CLI_VALUES_MAX + 1) {
        words[len++] = "--wait";
    }
    words[len] = NULL;
    struct parsed options = parse(*state, words);

    assert_usage(&options, "too many options");
    for (size_t i = 2; i < 2 + CLI_ARGS_MAX + 1; i++) {
        words[i] = "x";
    }
    words[2 + CLI_ARGS_MAX + 1] = NULL;
    struct parsed arguments = parse(*state, words);

    assert_usage(&arguments, "too many arguments");
}

/* --- the table itself ------------------------------------------------------------------------- */

static bool check_command(const struct cli_command *command, void *arg)
{
    size_t *count = arg;

    ++*count;
    assert_non_null(command->run);
    assert_true(command->args_min <= command->args_max && command->args_max <= CLI_ARGS_MAX);
    assert_true(command->summary[0] != '\0' && command->summary[0] != ' ');
    assert_ptr_equal(cli_find(command->path), command); /* no path twice */
    for (size_t i = 0; i < command->options_len; i++) {
        const struct cli_option *option = &command->options[i];

        assert_false(hf_has_prefix(option->name, "-"));
        assert_true(option->help[0] != '\0');
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(option->name, command->options[k].name);
        }
    }
    return true;
}

static void test_table__is_sound(void **state)
{
    size_t count = 0;

    (void)state;
    cli_each(check_command, &count);
    assert_true(count > 20);
    assert_null(cli_find("no such command"));
}

/* A password on the command line is seen by every user of the machine. */
static void test_table__takes_no_password(void **state)
{
    struct parsed parsed = PARSE("cluster", "add", "x", "--password", "secret");

    assert_usage(&parsed, "unknown option --password");
    assert_null(strstr(parsed.status.message, "secret"));
}

#define parse_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        parse_test(test_parse__finds_commands_of_one_and_two_words),
        parse_test(test_parse__takes_options_anywhere),
        parse_test(test_parse__keeps_values_as_they_are),
        parse_test(test_parse__two_dashes_end_the_options),
        parse_test(test_parse__suggests_the_nearest_command),
        parse_test(test_parse__suggests_the_nearest_option),
        parse_test(test_parse__refuses_wrong_counts_and_values),
        parse_test(test_parse__tells_help_and_version),
        parse_test(test_parse__bears_hostile_words),
        parse_test(test_parse__bounds_options_and_arguments),
        parse_test(test_table__is_sound),
        parse_test(test_table__takes_no_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
