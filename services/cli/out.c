/* Printing. The only folder that uses printf. The surprise: texts come from servers, vaults and
 * other people's names, so that what would move a terminal's cursor is escaped before it gets there
 * (JSON and YAML have escapes of their own). */
#include "cli/out.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "rpc/json.h"

#define JSON_MAX ((size_t)64 << 20)
#define BAR_WIDTH 30

/* --- text of others ------------------------------------------------------------------------- */

/* Characters above the blank that a terminal obeys or that turn or hide text, from first to last.
 */
static const struct {
    unsigned first;
    unsigned last;
} hidden[] = {{0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x200b, 0x200f},
              {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};

static bool is_hidden(unsigned code)
{
    for (size_t i = 0; i < HF_LEN(hidden); i++) {
        if (code >= hidden[i].first && code <= hidden[i].last) {
            return true;
        }
    }
    return code < 0x20;
}

/* The character at text, which is valid UTF-8, and its length; only those of up to three bytes are
 * told apart. */
static unsigned character_at(const char *text, size_t *ret_len)
{
    const unsigned char *p = (const unsigned char *)text;

    *ret_len = 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf && p[1] != 0) {
        *ret_len = 2;
        return (p[0] & 0x1fU) << 6 | (p[1] & 0x3fU);
    }
    if (p[0] >= 0xe0 && p[0] <= 0xef && p[1] != 0 && p[2] != 0) {
        *ret_len = 3;
        return (p[0] & 0xfU) << 12 | (p[1] & 0x3fU) << 6 | (p[2] & 0x3fU);
    }
    return p[0] >= 0x80 ? 0xfffd : p[0];
}

/* JSON escapes what is below the blank; a terminal obeys some that are above, too. They can only be
 * inside of strings. */
static void print_json(const char *json)
{
    while (*json != '\0') {
        size_t len = 0;
        unsigned code = *json == '\n' ? ' ' : character_at(json, &len);

        len = len == 0 ? 1 : len;
        if (is_hidden(code)) {
            printf("\\u%04x", code);
        } else {
            (void)fwrite(json, 1, len, stdout);
        }
        json += len;
    }
    putchar('\n');
}

static void append_clean(struct hf_buf *out, const char *text)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JSON_MAX);

    hf_buf_text_append(out, hf_text_show(arena, text, strlen(text), JSON_MAX / 2));
}

static void print_clean(FILE *file, const char *text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf clean = {0};

    hf_buf_init(&clean, JSON_MAX);
    append_clean(&clean, text);
    fputs(hf_buf_text(&clean), file);
}

void out_line(FILE *file, const char *before, const char *text)
{
    fputs(before, file);
    print_clean(file, text == NULL ? "" : text);
    fputc('\n', file);
}

/* --- tables --------------------------------------------------------------------------------- */

struct out_table out_table_new(struct hf_arena *arena, const char *const heads[])
{
    struct out_table table = {.arena = arena, .heads = heads};

    while (heads[table.columns] != NULL) {
        table.columns++;
    }
    HF_CHECK(table.columns <= OUT_COLUMNS_MAX);
    return table;
}

void out_table_row(struct out_table *table, const char *const cells[])
{
    if (table->rows_len == table->rows_cap) {
        size_t cap = table->rows_cap == 0 ? 16 : table->rows_cap * 2;
        void *rows = hf_alloc_n(table->arena, cap, sizeof(table->rows[0]));

        if (table->rows_len > 0) {
            memcpy(rows, table->rows, table->rows_len * sizeof(table->rows[0]));
        }
        table->rows = rows;
        table->rows_cap = cap;
    }
    for (size_t i = 0; i < table->columns; i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf clean = {0};

        hf_buf_init(&clean, JSON_MAX);
        append_clean(&clean, hf_text_empty(cells[i]) ? "-" : cells[i]);
        table->rows[table->rows_len][i] = hf_strdup(table->arena, hf_buf_text(&clean));
    }
    table->rows_len++;
}

/* Characters, not bytes; wide ones are taken for one column. */
static int columns_of(const char *text)
{
    int columns = 0;

    for (; *text != '\0'; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return columns;
}

void out_table_print(const struct out_table *table)
{
    int widths[OUT_COLUMNS_MAX] = {0};

    for (size_t c = 0; c < table->columns; c++) {
        widths[c] = columns_of(table->heads[c]);
        for (size_t r = 0; r < table->rows_len; r++) {
            int width = columns_of(table->rows[r][c]);

            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t r = 0; r <= table->rows_len; r++) {
        const char *const *cells = r == 0 ? table->heads : table->rows[r - 1];

        for (size_t c = 0; c + 1 < table->columns; c++) {
            printf("%s%*s", cells[c], widths[c] - columns_of(cells[c]) + 2, "");
        }
        printf("%s\n", cells[table->columns - 1]);
    }
}

/* --- messages ------------------------------------------------------------------------------- */

struct hf_status out_json(struct cli *cli, const char *json, bool *ret_is_done)
{
    const struct codec_value *value = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf yaml = {0};

    hf_buf_init(&yaml, JSON_MAX);
    *ret_is_done = cli->output == CLI_JSON || cli->output == CLI_YAML;
    if (cli->output == CLI_JSON) {
        print_json(json);
    }
    if (cli->output == CLI_YAML) {
        HF_TRY(codec_json_parse(cli->ctx.arena, hf_str_of(json), "the reply", &value));
        codec_yaml_write(&yaml, value);
        HF_TRY(hf_buf_status(&yaml, cli->ctx.arena, "the reply"));
        printf("%s", hf_buf_text(&yaml));
    }
    return hf_success();
}

struct hf_status out_message(struct cli *cli, const ProtobufCMessage *message, bool *ret_is_done)
{
    const struct rpc_json_options options = {.indent = 2, .emit_defaults = true};
    const char *json = NULL;

    *ret_is_done = false;
    if (cli->output != CLI_JSON && cli->output != CLI_YAML) {
        return hf_success();
    }
    HF_TRY(rpc_message_to_json(cli->ctx.arena, message, &options, &json));
    return out_json(cli, json, ret_is_done);
}

void out_field(const char *key, const char *value)
{
    if (!hf_text_empty(value)) {
        printf("%-18s ", hf_text_empty(key) ? "" : key);
        print_clean(stdout, value);
        printf("\n");
    }
}

const char *out_short(const char *resource)
{
    const char *slash = resource == NULL ? NULL : strrchr(resource, '/');

    return slash == NULL ? (resource == NULL ? "" : resource) : slash + 1;
}

const char *out_word(struct hf_arena *arena, const char *text)
{
    return hf_shell_word(arena, text);
}

const char *out_where(const struct cli *cli)
{
    struct hf_arena *arena = cli->ctx.arena;
    const char *dir =
        cli_flag(cli, "dir") ? hf_printf(arena, " --dir %s", out_word(arena, cli->dir)) : "";

    return cli_flag(cli, "tenant")
               ? hf_printf(arena, "%s --tenant %s", dir, out_word(arena, cli->tenant))
               : dir;
}

const char *out_here(const struct cli *cli, const char *command)
{
    const char *comment = strstr(command, "  #"); /* what is behind it no shell reads */
    size_t len = comment == NULL ? strlen(command) : (size_t)(comment - command);

    return hf_has_prefix(command, "holdfast ") ? hf_printf(cli->ctx.arena, "%.*s%s%s", (int)len,
                                                           command, out_where(cli), command + len)
                                               : command;
}

/* --- progress ------------------------------------------------------------------------------- */

struct out_progress out_progress_new(const struct cli *cli)
{
    return (struct out_progress){.is_terminal = cli->is_terminal, .start_us = hf_mono_us()};
}

static void measure(struct out_progress *progress, const struct out_step *step, int64_t now_us)
{
    int64_t bytes = step->done_bytes - progress->last_bytes;
    double seconds = (double)(now_us - progress->last_us) / (double)HF_US_PER_S;

    if (progress->last_us != 0 && bytes >= 0 && seconds > 0) {
        double rate = (double)bytes / seconds;

        progress->rate = progress->rate == 0 ? rate : progress->rate * 0.7 + rate * 0.3;
    }
    progress->last_us = now_us;
    progress->last_bytes = step->done_bytes;
}

/* Columns of the terminal; one is kept free, else some terminals wrap. */
static int line_columns(void)
{
    struct winsize size = {.ws_col = 0};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return 79;
    }
    return size.ws_col - 1;
}

static const char *eta_text(struct hf_arena *arena, const struct out_progress *progress,
                            const struct out_step *step)
{
    if (step->total_bytes <= step->done_bytes || progress->rate <= 1) {
        return "";
    }
    double left = (double)(step->total_bytes - step->done_bytes) / progress->rate;

    return hf_printf(arena, "  ETA %s", hf_duration_text(arena, (int64_t)left * HF_US_PER_S));
}

static void draw(struct hf_arena *arena, struct out_progress *progress, const struct out_step *step)
{
    char bar[BAR_WIDTH + 1];
    int64_t done = step->done_bytes > step->total_bytes ? step->total_bytes : step->done_bytes;
    int filled =
        step->total_bytes > 0 && done > 0 ? (int)(done * BAR_WIDTH / step->total_bytes) : 0;
    const char *total =
        step->total_bytes <= 0
            ? ""
            : hf_printf(arena, " of %s", hf_size_text(arena, (uint64_t)step->total_bytes));
    const char *rate =
        progress->rate <= 1
            ? ""
            : hf_printf(arena, "  %s/s", hf_size_text(arena, (uint64_t)progress->rate));

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    const char *line = hf_printf(arena, "%s [%s] %s%s%s%s", step->phase, bar,
                                 hf_size_text(arena, (uint64_t)step->done_bytes), total, rate,
                                 eta_text(arena, progress, step));

    fprintf(stderr, "\r\033[K");
    print_clean(stderr,
                hf_strndup(arena, line, hf_utf8_cut(line, strlen(line), (size_t)line_columns())));
    fflush(stderr);
    progress->is_drawn = true;
}

static void tell(struct out_progress *progress, const struct out_step *step)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf line = {0};

    hf_buf_init(&line, 65536);
    struct codec_json json = codec_json_open(&line, 0);

    codec_json_begin_object(&json);
    codec_json_put_text(&json, "job", step->what);
    codec_json_put_text(&json, "state", step->state);
    codec_json_put_text(&json, "phase", step->phase);
    codec_json_put_int(&json, "doneBytes", step->done_bytes);
    codec_json_put_int(&json, "totalBytes", step->total_bytes);
    codec_json_put_int(&json, "bytesPerSecond", (int64_t)progress->rate);
    codec_json_end(&json);
    fprintf(stderr, "%s\n", hf_buf_text(&line));
}

void out_progress_show(struct hf_arena *arena, struct out_progress *progress,
                       const struct out_step *step)
{
    int64_t now_us = hf_mono_us();
    int64_t pause_us = progress->is_terminal ? HF_US_PER_S / 10 : HF_US_PER_S;
    /* Kept by value: the step's own texts go with the message that brought them. */
    const char *label = hf_printf(arena, "%.16s %.64s", step->state, step->phase);
    bool is_new = !hf_text_equal(label, progress->last_label);

    if (!is_new && now_us - progress->last_us < pause_us) {
        return;
    }
    measure(progress, step, now_us);
    memcpy(progress->last_label, label, strlen(label) + 1);
    if (progress->is_terminal) {
        draw(arena, progress, step);
    } else {
        tell(progress, step);
    }
}

void out_progress_end(struct out_progress *progress)
{
    if (progress->is_drawn) {
        fprintf(stderr, "\r\033[K");
        progress->is_drawn = false;
    }
}

void out_error(struct cli *cli, struct hf_status status)
{
    (void)cli;
    fprintf(stderr, "error: ");
    print_clean(stderr, hf_text_empty(status.message) ? hf_code_name(status.code) : status.message);
    fprintf(stderr, "\n");
    if (status.info != NULL && !hf_text_empty(status.info->reason)) {
        fprintf(stderr, "reason: ");
        print_clean(stderr, status.info->reason);
        fprintf(stderr, "\n");
    }
}
