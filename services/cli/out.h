/* What commands print: a message in the form that -o asks for, tables, progress. Results go to
 * standard output, everything else to standard error. */
#ifndef HF_CLI_OUT_H
#define HF_CLI_OUT_H

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "cli/cli.h"

/* A table under construction; cells are copied. */
#define OUT_COLUMNS_MAX 12
struct out_table {
    struct hf_arena *arena;
    const char *const *heads; /* NULL-terminated */
    size_t columns;
    const char *(*rows)[OUT_COLUMNS_MAX];
    size_t rows_len;
    size_t rows_cap;
};
struct out_table out_table_new(struct hf_arena *arena, const char *const heads[]);
/* cells: one per column. */
void out_table_row(struct out_table *table, const char *const cells[]);
void out_table_print(const struct out_table *table);

/* Print message as JSON or YAML (-o json|yaml); false for the other forms. */
struct hf_status out_message(struct cli *cli, const ProtobufCMessage *message,
                             bool *ret_is_done) HF_MUST_USE;
/* Print text that is JSON already as JSON or YAML. */
struct hf_status out_json(struct cli *cli, const char *json, bool *ret_is_done) HF_MUST_USE;

/* before, which is ours, then foreign text made safe, and the end of the line. */
void out_line(FILE *file, const char *before, const char *text);

/* "key:   value" lines for describe; value NULL or "" prints nothing. */
void out_field(const char *key, const char *value);

/* A last name of a resource: tenants/t/clusters/c → c. */
const char *out_short(const char *resource);

/* text as a shell takes it for one word; a command that is printed can be pasted. */
const char *out_word(struct hf_arena *arena, const char *text);
/* " --dir DIR --tenant TENANT" as far as the caller said them: for a command that is printed. */
const char *out_where(const struct cli *cli);
/* A command that the service named, for the installation that was asked; advice as it is. */
const char *out_here(const struct cli *cli, const char *command);

/* Progress on standard error: a bar on a terminal (redrawn at most ten times a second, never wider
 * than it), one JSON object a second otherwise. A new state or phase is shown at once. */
#define OUT_LABEL_MAX 96
struct out_progress {
    bool is_terminal;
    bool is_drawn;
    int64_t start_us; /* monotonic */
    int64_t last_us;
    int64_t last_bytes;
    double rate;                    /* bytes a second, smoothed */
    char last_label[OUT_LABEL_MAX]; /* state and phase */
};
struct out_progress out_progress_new(const struct cli *cli);
struct out_step {
    const char *what;  /* job or restore name */
    const char *state; /* RUNNING … */
    const char *phase;
    int64_t done_bytes;
    int64_t total_bytes;
};
void out_progress_show(struct hf_arena *arena, struct out_progress *progress,
                       const struct out_step *step);
void out_progress_end(struct out_progress *progress);

/* "error: …" with the reason on standard error. */
void out_error(struct cli *cli, struct hf_status status);

#endif
