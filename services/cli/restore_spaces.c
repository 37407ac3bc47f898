/* Tablespace options of restore. A location is foreign text, which may hold "=" or what no keyboard
 * has: so an oid names a tablespace, too. */
#include "cli/restore_spaces.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/out.h"

#define SPACES_MAX CLI_VALUES_MAX

/* Without slashes at the end: PostgreSQL records none. */
static const char *bare(struct hf_arena *arena, const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return hf_strndup(arena, path, len);
}

static struct hf_status take_one(struct cli *cli, const char *text,
                                 struct restore_tablespace *ret_space)
{
    const char *equals = strchr(text, '=');
    uint64_t oid = 0;

    if (equals == NULL || equals[1] != '/') {
        return cli_usage(cli, "--tablespace needs OLD=NEW with an absolute path NEW, not %s", text);
    }
    const char *old = hf_strndup(cli->ctx.arena, text, (size_t)(equals - text));

    if (old[0] != '/' && !hf_parse_u64(old, &oid)) {
        return cli_usage(cli, "--tablespace needs an absolute path or an oid before =, not %s",
                         old);
    }
    *ret_space =
        (struct restore_tablespace){bare(cli->ctx.arena, old), bare(cli->ctx.arena, equals + 1)};
    return hf_success();
}

struct hf_status restore_take_spaces(struct cli *cli, struct restore_options *options)
{
    struct restore_tablespace *spaces =
        HF_NEW_N(cli->ctx.arena, struct restore_tablespace, SPACES_MAX);
    const char *text = NULL;
    size_t len = 0;

    for (; len < SPACES_MAX && (text = cli_option_at(cli, "tablespace", len)) != NULL; len++) {
        HF_TRY(take_one(cli, text, &spaces[len]));
    }
    options->tablespaces = spaces;
    options->tablespaces_len = len;
    options->tablespaces_into = cli_option(cli, "tablespaces-into");
    options->tablespaces_as_recorded = cli_flag(cli, "tablespaces-as-recorded");
    if (options->tablespaces_into != NULL && options->tablespaces_as_recorded) {
        return cli_usage(cli,
                         "--tablespaces-into and --tablespaces-as-recorded exclude each other");
    }
    if (options->tablespaces_into != NULL && options->tablespaces_into[0] != '/') {
        return cli_usage(cli, "--tablespaces-into needs an absolute path, not %s",
                         options->tablespaces_into);
    }
    return hf_success();
}

const char *restore_command_again(const struct cli *cli)
{
    struct hf_arena *arena = cli->ctx.arena;
    const char *command = "holdfast restore";

    for (size_t i = 0; i < cli->args_len; i++) {
        command = hf_printf(arena, "%s %s", command, out_word(arena, cli->args[i]));
    }
    for (size_t i = 0; i < cli->values_len; i++) {
        const struct cli_value *value = &cli->values[i];

        command = hf_printf(arena, "%s --%s%s%s", command, value->name,
                            value->value[0] == '\0' ? "" : " ",
                            value->value[0] == '\0' ? "" : out_word(arena, value->value));
    }
    return command;
}

void restore_hint_spaces(const struct cli *cli, const char *dir, struct hf_status status)
{
    struct hf_arena *arena = cli->ctx.arena;

    if (status.info == NULL || !hf_text_equal(status.info->reason, "TABLESPACES_NOT_PLACED")) {
        return;
    }
    const char *into = hf_printf(arena, "%s-tablespaces", bare(arena, dir));

    fprintf(stderr, "note: to put each into a directory of its own:\n  %s --tablespaces-into %s\n",
            restore_command_again(cli), out_word(arena, into));
}
