/* What stays out of a base backup, by the rules of PostgreSQL's own basebackup.c. Surprise: a
 * relation file and a temporary one differ by their name alone ("t3_16384"). */
#include "pgformat/exclude.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"

static const char *const emptied_dirs[] = {
    "pg_wal",    "pg_replslot",  "pg_dynshmem", "pg_notify",
    "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
};

/* In the data directory itself. */
static const char *const root_files[] = {
    "postmaster.pid",
    "postmaster.opts",
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "recovery.signal",
    "standby.signal",
    "promote",
    "fallback_promote",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "backup_manifest",
    "backup_manifest.tmp",
};

static const struct {
    const char *suffix;
    enum pgf_fork fork;
} forks[] = {{"_fsm", PGF_FORK_FSM}, {"_vm", PGF_FORK_VM}, {"_init", PGF_FORK_INIT}};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

bool pgf_exclude_contents(const char *path)
{
    for (size_t i = 0; i < HF_LEN(emptied_dirs); i++) {
        if (strcmp(path, emptied_dirs[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool lies_in_emptied(const char *path)
{
    for (size_t i = 0; i < HF_LEN(emptied_dirs); i++) {
        size_t len = strlen(emptied_dirs[i]);

        if (hf_has_prefix(path, emptied_dirs[i]) && path[len] == '/') {
            /* Kept as an empty directory: the server expects it. */
            return strcmp(path, "pg_wal/archive_status") != 0;
        }
    }
    return false;
}

bool pgf_exclude_entry(const char *path)
{
    const char *file = last_part(path);
    struct pgf_relation_file relation;

    if (lies_in_emptied(path) || strstr(path, "/pgsql_tmp") != NULL) {
        return true;
    }
    if (hf_has_prefix(file, "pgsql_tmp") || hf_has_prefix(file, "pg_internal.init")) {
        return true;
    }
    if (file == path) {
        for (size_t i = 0; i < HF_LEN(root_files); i++) {
            if (strcmp(path, root_files[i]) == 0) {
                return true;
            }
        }
        return false;
    }
    return (hf_has_prefix(path, "base/") || hf_has_prefix(path, "pg_tblspc/")) &&
           pgf_relation_file_parse(file, &relation) && relation.is_temporary;
}

/* Decimal digits without a leading zero, at least one; moves *p behind them. */
static bool digits_take(const char **p, uint32_t *ret)
{
    uint64_t value = 0;
    const char *start = *p;

    while (**p >= '0' && **p <= '9') {
        value = value * 10 + (uint64_t)(**p - '0');
        if (value > UINT32_MAX) {
            return false;
        }
        (*p)++;
    }
    *ret = (uint32_t)value;
    return *p != start && (*start != '0' || *p == start + 1);
}

static enum pgf_fork fork_take(const char **p)
{
    for (size_t i = 0; i < HF_LEN(forks); i++) {
        if (hf_has_prefix(*p, forks[i].suffix)) {
            *p += strlen(forks[i].suffix);
            return forks[i].fork;
        }
    }
    return PGF_FORK_MAIN;
}

bool pgf_relation_file_parse(const char *file, struct pgf_relation_file *ret_file)
{
    struct pgf_relation_file relation = {0};
    const char *p = file;
    uint32_t backend;

    if (*p == 't') {
        p++;
        if (!digits_take(&p, &backend) || *p != '_') {
            return false;
        }
        p++;
        relation.is_temporary = true;
    }
    if (!digits_take(&p, &relation.number) || relation.number == 0) {
        return false;
    }
    relation.fork = fork_take(&p);
    if (*p == '.') {
        p++;
        if (!digits_take(&p, &relation.segment) || relation.segment == 0) {
            return false;
        }
    }
    if (*p != '\0') {
        return false;
    }
    *ret_file = relation;
    return true;
}

/* The directory part of path, up to file, is "base/<oid>/" or so. */
static bool is_relation_dir(const char *path, const char *file)
{
    const char *p = path;
    uint32_t oid;

    if (hf_has_prefix(p, "global/")) {
        return p + 7 == file;
    }
    if (hf_has_prefix(p, "base/")) {
        p += 5;
    } else if (hf_has_prefix(p, "pg_tblspc/")) {
        p += 10;
        if (!digits_take(&p, &oid) || !hf_has_prefix(p, "/PG_")) {
            return false;
        }
        p = strchr(p + 1, '/');
        if (p == NULL) {
            return false;
        }
        p++;
    } else {
        return false;
    }
    return digits_take(&p, &oid) && *p == '/' && p + 1 == file;
}

bool pgf_is_relation_path(const char *path)
{
    const char *file = last_part(path);
    struct pgf_relation_file relation;

    return pgf_relation_file_parse(file, &relation) && is_relation_dir(path, file);
}
