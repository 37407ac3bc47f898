/* argv by table. Own code instead of argp: commands of two words share global options, and an
 * unknown word is answered with the nearest known one, which argp cannot do. */
#include "cli/parse.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const struct cli_option global_options[] = {
    {"dir", "DIR", "installation directory (HOLDFAST_DIR, else XDG or /var/lib/holdfast)", false},
    {"tenant", "NAME", "tenant to work in (default)", false},
    {"output", "FORMAT", "table, json, yaml or name (short: -o)", false},
    {"help", NULL, "show this help", false},
    {"version", NULL, "show the version", false},
};
#define NEAR_PATH 4
#define GLOBAL_LEN (sizeof(global_options) / sizeof(global_options[0]))

/* --- finding the command -------------------------------------------------------------------- */

/* Words of argv that are no options, before it is known which options take values: an option with a
 * value must use --name=value before the command's words, or stand after them. */
static size_t leading_words(int argc, const char *const argv[], const char *words[2])
{
    size_t len = 0;

    for (int i = 1; i < argc && len < 2; i++) {
        if (argv[i][0] == '-') {
            bool takes_value = hf_text_equal(argv[i], "--dir") ||
                               hf_text_equal(argv[i], "--tenant") || hf_text_equal(argv[i], "-o") ||
                               hf_text_equal(argv[i], "--output");
            i += takes_value ? 1 : 0;
            continue;
        }
        words[len++] = argv[i];
    }
    return len;
}

struct nearest {
    const char *text;
    const char *group; /* only its commands; NULL: all */
    const char *best;
    int distance;
};

static bool is_in_group(const struct cli_command *command, const char *group)
{
    size_t len = strlen(group);

    return strncmp(command->path, group, len) == 0 && command->path[len] == ' ';
}

static bool compare_path(const struct cli_command *command, void *arg)
{
    struct nearest *nearest = arg;

    if (nearest->group != NULL && !is_in_group(command, nearest->group)) {
        return true;
    }
    int distance = hf_text_distance(nearest->text, command->path);

    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = command->path;
    }
    return true;
}

static bool find_group(const struct cli_command *command, void *arg)
{
    const char **group = arg;

    if (*group != NULL && is_in_group(command, *group)) {
        *group = NULL; /* found */
    }
    return *group != NULL;
}

static bool is_group(const char *word)
{
    const char *wanted = word;

    cli_each(find_group, &wanted);
    return wanted == NULL;
}

/* The words may be a command of two words or one of one word with its argument. */
static struct hf_status unknown_command(struct cli *cli, const char *const words[2], bool is_group)
{
    const char *both = hf_printf(cli->ctx.arena, "%s %s", words[0], words[1]);
    const char *text = is_group ? both : words[0];
    struct nearest nearest = {both, is_group ? words[0] : NULL, NULL, NEAR_PATH + 1};

    cli_each(compare_path, &nearest);
    if (!is_group) { /* one word: half of it may be wrong, not all */
        int most = (int)strlen(words[0]) / 2 < NEAR_PATH ? (int)strlen(words[0]) / 2 : NEAR_PATH;

        nearest.text = words[0];
        nearest.distance = nearest.distance < most + 1 ? nearest.distance : most + 1;
        cli_each(compare_path, &nearest);
    }
    if (nearest.best == NULL) {
        return cli_usage(cli, "unknown command %s; see `holdfast %s--help`", text,
                         is_group ? hf_printf(cli->ctx.arena, "%s ", words[0]) : "");
    }
    return cli_usage(cli, "unknown command %s; did you mean `holdfast %s`?", text, nearest.best);
}

/* --- options -------------------------------------------------------------------------------- */

static const struct cli_option *find_in(const struct cli_option *options, size_t len,
                                        const char *name)
{
    for (size_t i = 0; i < len; i++) {
        if (hf_text_equal(options[i].name, name)) {
            return &options[i];
        }
    }
    return NULL;
}

static const struct cli_option *find_option(const struct cli *cli, const char *name)
{
    const struct cli_option *found = find_in(global_options, GLOBAL_LEN, name);

    if (found == NULL && cli->command != NULL) {
        found = find_in(cli->command->options, cli->command->options_len, name);
    }
    return found;
}

static struct hf_status unknown_option(struct cli *cli, const char *name)
{
    const char *best = NULL;
    int best_distance = 4;

    for (size_t i = 0; cli->command != NULL && i < cli->command->options_len; i++) {
        int distance = hf_text_distance(name, cli->command->options[i].name);

        if (distance < best_distance) {
            best_distance = distance;
            best = cli->command->options[i].name;
        }
    }
    const char *path = cli->command == NULL ? "" : cli->command->path;

    return best == NULL
               ? cli_usage(cli, "unknown option --%s; see `holdfast %s --help`", name, path)
               : cli_usage(cli, "unknown option --%s; did you mean --%s?", name, best);
}

static struct hf_status add_value(struct cli *cli, const char *name, const char *value)
{
    if (cli->values_len == CLI_VALUES_MAX) {
        return cli_usage(cli, "too many options");
    }
    cli->values[cli->values_len++] = (struct cli_value){name, value};
    return hf_success();
}

/* --name, --name value or --name=value; *i moves over a value that is a word of its own. */
static struct hf_status take_option(struct cli *cli, int argc, const char *const argv[], int *i)
{
    const char *text = hf_text_equal(argv[*i], "-o")   ? "output"
                       : hf_text_equal(argv[*i], "-h") ? "help"
                                                       : argv[*i] + 2;
    const char *equals = strchr(text, '=');
    const char *name = equals == NULL ? hf_strdup(cli->ctx.arena, text)
                                      : hf_strndup(cli->ctx.arena, text, (size_t)(equals - text));
    const struct cli_option *option = find_option(cli, name);

    if (option == NULL) {
        return unknown_option(cli, name);
    }
    if (option->value == NULL) {
        return equals == NULL ? add_value(cli, option->name, "")
                              : cli_usage(cli, "option --%s takes no value", name);
    }
    if (equals != NULL) {
        return add_value(cli, option->name, equals + 1);
    }
    if (*i + 1 >= argc) {
        return cli_usage(cli, "option --%s needs a value: --%s %s", name, name, option->value);
    }
    *i += 1;
    return add_value(cli, option->name, argv[*i]);
}

static bool is_option(const char *word)
{
    return hf_has_prefix(word, "--") || hf_text_equal(word, "-o") || hf_text_equal(word, "-h");
}

static struct hf_status take_words(struct cli *cli, int argc, const char *const argv[], size_t skip)
{
    bool is_over = false;

    for (int i = 1; i < argc; i++) {
        if (!is_over && hf_text_equal(argv[i], "--")) {
            is_over = true;
        } else if (!is_over && is_option(argv[i])) {
            HF_TRY(take_option(cli, argc, argv, &i));
        } else if (!is_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            return cli_usage(cli, "unknown option %s", argv[i]);
        } else if (skip > 0) {
            skip--;
        } else if (cli->args_len == CLI_ARGS_MAX) {
            return cli_usage(cli, "too many arguments");
        } else {
            cli->args[cli->args_len++] = argv[i];
        }
    }
    return hf_success();
}

static struct hf_status take_output(struct cli *cli)
{
    static const struct {
        const char *name;
        enum cli_output output;
    } formats[] = {
        {"table", CLI_TABLE}, {"json", CLI_JSON}, {"yaml", CLI_YAML}, {"name", CLI_NAME}};
    const char *wanted = cli_option(cli, "output");

    cli->output = CLI_TABLE;
    for (size_t i = 0; wanted != NULL && i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (hf_text_equal(wanted, formats[i].name)) {
            cli->output = formats[i].output;
            return hf_success();
        }
    }
    return wanted == NULL ? hf_success()
                          : cli_usage(cli, "-o must be table, json, yaml or name, not %s", wanted);
}

static struct hf_status check_count(struct cli *cli)
{
    const struct cli_command *command = cli->command;

    if (cli->args_len < command->args_min) {
        return cli_usage(cli, "missing argument: holdfast %s %s", command->path, command->args);
    }
    if (cli->args_len > command->args_max) {
        return cli_usage(cli, "unexpected argument %s: holdfast %s %s",
                         cli->args[command->args_max], command->path, command->args);
    }
    return hf_success();
}

/* The command of one or two words; returns how many of them it took. */
static size_t find_command(struct cli *cli, const char *words[2], size_t len)
{
    if (len == 2) {
        cli->command = cli_find(hf_printf(cli->ctx.arena, "%s %s", words[0], words[1]));
        if (cli->command != NULL) {
            return 2;
        }
    }
    cli->command = len == 0 ? NULL : cli_find(words[0]);
    return cli->command == NULL ? 0 : 1;
}

struct hf_status parse_args(struct cli *cli, int argc, const char *const argv[],
                            enum parse_wish *ret_wish, const char **ret_group)
{
    const char *words[2] = {"", ""};
    size_t len = leading_words(argc, argv, words);
    size_t used = find_command(cli, words, len);

    *ret_group = "";
    bool is_group_asked = cli->command == NULL && len >= 1 && is_group(words[0]);

    if (len == 1 && hf_text_equal(words[0], "help")) {
        *ret_wish = PARSE_HELP;
        return hf_success();
    }
    if (cli->command == NULL && len >= 1 && (len == 2 || !is_group_asked)) {
        return unknown_command(cli, words, is_group_asked);
    }
    HF_TRY(take_words(cli, argc, argv, used + (is_group_asked ? 1 : 0)));
    if (cli_flag(cli, "version")) {
        *ret_wish = PARSE_VERSION;
        return hf_success();
    }
    if (cli->command == NULL || cli_flag(cli, "help")) {
        *ret_wish = PARSE_HELP;
        *ret_group = is_group_asked ? words[0] : "";
        return hf_success();
    }
    *ret_wish = PARSE_RUN;
    HF_TRY(take_output(cli));
    cli->tenant = cli_flag(cli, "tenant") ? cli_option(cli, "tenant") : "default";
    return check_count(cli);
}

/* --- help ----------------------------------------------------------------------------------- */

static void print_options(const struct cli_option *options, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int width = printf("  --%s%s%s", options[i].name, options[i].value == NULL ? "" : " ",
                           options[i].value == NULL ? "" : options[i].value);

        printf("%*s%s\n", width < 30 ? 30 - width : 1, "", options[i].help);
    }
}

static bool print_row(const struct cli_command *command, void *arg)
{
    const char *group = arg;

    if (*group == '\0' || is_in_group(command, group)) {
        int width =
            printf("  %s%s%s", command->path, *command->args == '\0' ? "" : " ", command->args);

        printf("%*s%s\n", width < 38 ? 38 - width : 1, "", command->summary);
    }
    return true;
}

void parse_help(struct cli *cli, const char *group)
{
    const struct cli_command *command = cli->command;

    if (command != NULL) {
        printf("usage: holdfast %s %s [options]\n\n%s\n", command->path, command->args,
               command->summary);
        if (command->details != NULL) {
            printf("\n%s\n", command->details);
        }
        printf("\noptions:\n");
        print_options(command->options, command->options_len);
    } else {
        printf("usage: holdfast COMMAND [options]\n\nRecovery that is proven, not promised.\n\n"
               "commands:\n");
        union {
            const char *text;
            void *arg;
        } wanted = {.text = group};

        cli_each(print_row, wanted.arg);
        printf("\nexit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 precondition, "
               "5 unavailable,\n            130 interrupted\n\noptions of every command:\n");
    }
    print_options(global_options, GLOBAL_LEN);
}
