/* Configuration of a process: one struct, one table row per field.
 *
 *   struct backup_config { const char *listen; int64_t workers; int64_t beat_us; };
 *   static const struct svc_field fields[] = {
 *       {.key = "listen", .env = "HOLDFAST_LISTEN", .flag = "listen", .type = SVC_TEXT,
 *        .offset = offsetof(struct backup_config, listen), .fallback = "127.0.0.1:7400",
 *        .min = 1, .max = 255, .help = "address of the gRPC API"},
 *       …
 *   };
 *
 * Sources, the first that has a value wins: flag, environment, overrides file, YAML file, fallback.
 * The overrides file (--overrides, or the key overrides_file of the YAML file) has the same keys
 * and belongs to the operator: nothing of ours writes it, and it may be missing. An unknown flag or
 * file key refuses to start and names the nearest known one (the environment is shared with others,
 * so unknown variables there mean nothing). Secrets have no flag: argv is public; give the path of
 * a file instead. This is the only folder that calls getenv.
 *
 * Threads: main's only, before others start.
 */
#ifndef HF_SVC_CONFIG_H
#define HF_SVC_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

/* Type of the member at offset, form of the text, unit of min and max. */
enum svc_type {
    SVC_TEXT,     /* const char *; bytes; a NULL fallback leaves NULL */
    SVC_LIST,     /* const char *, comma-separated; in a file a sequence as well; as SVC_TEXT */
    SVC_INT,      /* int64_t */
    SVC_BOOL,     /* bool; true, false; min and max unused; the bare flag means true */
    SVC_SIZE,     /* int64_t bytes; "64MiB", "2GiB", "4096" */
    SVC_DURATION, /* int64_t µs; "250ms", "30s", "5m", "1h", "7d"; the unit is mandatory */
};

struct svc_field {
    const char *key;  /* in the file; a dot is one level of mapping: "log.level" */
    const char *env;  /* NULL: not from the environment */
    const char *flag; /* without "--"; NULL: not from the command line */
    enum svc_type type;
    size_t offset;        /* of the member in the config struct */
    const char *fallback; /* text as a user would write it; NULL: zero */
    int64_t min;          /* both 0: no limits (SVC_TEXT: at most 4096 bytes) */
    int64_t max;
    const char *help; /* one line, lower case, no full stop */
    bool is_fixed;    /* no overrides file may say it: what made the --config file relies on it */
};

struct svc_program {
    const char *name;    /* "holdfast-backup" */
    const char *summary; /* one line */
    const char *version;
    const struct svc_field *fields;
    size_t fields_len;
};

/* Where values come from. */
struct svc_sources {
    int argc; /* argv[0] is skipped */
    const char *const *argv;
    const char *(*env)(const char *name, void *arg); /* NULL: the process's environment */
    void *env_arg;
};

/* What the command line asks for. */
enum svc_wish { SVC_RUN, SVC_CHECK, SVC_SHOW_HELP, SVC_SHOW_VERSION };

/* What every process has: --help, --version, --check, --config (HOLDFAST_CONFIG), --overrides
 * (HOLDFAST_OVERRIDES, overrides_file) and --log-level (HOLDFAST_LOG_LEVEL, log.level). */
struct svc_common {
    enum svc_wish wish;
    const char *config_file;    /* NULL: none */
    const char *overrides_file; /* NULL: none */
    const char *log_level;      /* debug, info, warn or error */
};

/* Fill *ret_config (of the struct the offsets mean) and *ret_common from all sources. Texts live
 * in arena. With SVC_SHOW_* only the wish is set; the wish is set after a failure, too. A text
 * field with min ≥ 1, without fallback and without a value is refused as missing.
 *
 * Errors   INVALID_ARGUMENT names the source ("--workers", "HOLDFAST_WORKERS", "file:3"), the
 *          value (never of a field without a flag: it may be secret) and what was expected;
 *          NOT_FOUND, PERMISSION_DENIED the file; FAILED_PRECONDITION others may write it
 */
struct hf_status svc_config_load(struct hf_arena *arena, const struct svc_program *program,
                                 const struct svc_sources *sources, void *ret_config,
                                 struct svc_common *ret_common) HF_MUST_USE;

/* Only fallbacks and one YAML text, missing fields allowed: for tests and fuzzing. A file may have
 * 64 KiB; give arena 16 MiB or more. */
struct hf_status svc_config_parse(struct hf_arena *arena, const struct svc_program *program,
                                  struct hf_str yaml, const char *file_name,
                                  void *ret_config) HF_MUST_USE;

/* The --help text: usage, then each field with flag, variable, key, fallback and limits. */
void svc_config_help(const struct svc_program *program, struct hf_buf *buf);

/* One value of a type from text; limits are not checked. False when it is none. Pure. */
bool svc_parse_size(const char *text, int64_t *ret_bytes);
bool svc_parse_duration(const char *text, int64_t *ret_us);

/* A variable of the process's environment, NULL when unset or empty: for what is no field (HOME,
 * XDG_DATA_HOME, PGPASSWORD). */
const char *svc_getenv(const char *name);

#endif
