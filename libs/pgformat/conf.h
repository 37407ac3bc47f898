/* Small edits of postgresql.conf and postgresql.auto.conf text: read a setting, take settings out,
 * append settings. Lines that are not touched stay as they are, byte for byte. Pure. */
#ifndef HF_PGFORMAT_CONF_H
#define HF_PGFORMAT_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

#define PGF_CONF_MAX_BYTES (4 * 1024 * 1024)

/* Whether a restored server must not inherit this setting: synchronous_standby_names, archive_*,
 * primary_*, restore_command, recovery_* …; case-insensitive. */
bool pgf_conf_is_unwanted(struct hf_str name);

/* Value of the last line that sets name (unquoted, in arena), or NULL. */
char *pgf_conf_get(struct hf_arena *arena, struct hf_str text, const char *name);

/* Copy text to out without the lines that set a name for which drop returns true. A comment
 * "# holdfast removed: …" is put in place when mark is set. Comments and includes stay. */
void pgf_conf_filter(struct hf_str text, bool (*drop)(struct hf_str name), bool mark,
                     struct hf_buf *out);

/* Append "name = 'value'" with quotes and backslashes doubled, on a line of its own. A value with a
 * newline cannot be written: false, nothing appended. */
bool pgf_conf_append(struct hf_buf *out, const char *name, const char *value);

/* Call fn for each include, include_dir and include_if_exists line, in order; returns how many. */
size_t pgf_conf_includes(struct hf_arena *arena, struct hf_str text,
                         void (*fn)(void *arg, const char *directive, const char *path), void *arg);

#endif
