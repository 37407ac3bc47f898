/* backup_label and tablespace_map. Pure. */
#ifndef HF_PGFORMAT_LABEL_H
#define HF_PGFORMAT_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#define PGF_LABEL_MAX_BYTES 8192
#define PGF_TABLESPACE_MAP_MAX_BYTES (1024 * 1024)
#define PGF_TABLESPACES_MAX 10000

struct pgf_label {
    uint64_t start_lsn;
    const char *start_wal_file; /* 24 digits */
    uint64_t checkpoint_lsn;
    uint32_t start_timeline;   /* of START TIMELINE, else of the file name */
    const char *backup_method; /* "streamed" */
    const char *backup_from;   /* "primary" or "standby" */
    const char *start_time;    /* as written, server's zone */
    const char *label;
};

/* Strings live in arena.  Errors  DATA_LOSS a required line is missing or malformed, or there is
 * an INCREMENTAL FROM line (reason INCREMENTAL_BACKUP) */
struct hf_status pgf_label_parse(struct hf_arena *arena, struct hf_str text,
                                 struct pgf_label *ret_label) HF_MUST_USE;

struct pgf_tablespace {
    uint32_t oid;
    const char *path; /* of the directory, unescaped */
};

/* Lines "OID path" with backslash escapes for newline, carriage return and backslash.
 * Errors   DATA_LOSS bad line, an OID twice, more than PGF_TABLESPACES_MAX */
struct hf_status pgf_tablespace_map_parse(struct hf_arena *arena, struct hf_str text,
                                          const struct pgf_tablespace **ret_items,
                                          size_t *ret_len) HF_MUST_USE;
void pgf_tablespace_map_print(const struct pgf_tablespace *items, size_t len, struct hf_buf *out);

#endif
