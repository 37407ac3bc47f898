/* What a data directory holds that a base backup must not: paths relative to the data directory,
 * "/" between parts, tablespaces as pg_tblspc/OID/PG_…; and how relation files are named. Pure. */
#ifndef HF_PGFORMAT_EXCLUDE_H
#define HF_PGFORMAT_EXCLUDE_H

#include <stdbool.h>
#include <stdint.h>

/* The directory is kept (with its mode), what is in it is not: pg_wal, pg_replslot, pg_stat_tmp …
 */
bool pgf_exclude_contents(const char *path);

/* The entry itself must not be stored or restored: lies in such a directory, or is a temporary
 * file, a temporary relation, postmaster.pid, recovery.signal, backup_manifest …
 * backup_label and tablespace_map of the *running* cluster are excluded too; those of the base
 * backup stream are not asked about here. */
bool pgf_exclude_entry(const char *path);

enum pgf_fork { PGF_FORK_MAIN, PGF_FORK_FSM, PGF_FORK_VM, PGF_FORK_INIT };

struct pgf_relation_file {
    uint32_t number; /* relfilenode */
    enum pgf_fork fork;
    uint32_t segment;  /* 0, 1, … each 1 GiB by default */
    bool is_temporary; /* t<backend>_<number> */
};
/* From the last part of a path: "16384", "16384_fsm", "16384.2", "t3_16384_vm.1". */
bool pgf_relation_file_parse(const char *file, struct pgf_relation_file *ret_file);

/* Whether path is a relation's file in base/, global/ or a tablespace (by directory and name):
 * its pages carry checksums, unlike pg_filenode.map, PG_VERSION, pg_control … */
bool pgf_is_relation_path(const char *path);

#endif
