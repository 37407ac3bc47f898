/* Names inside a data directory, as a server or a vault says them: paths relative to it, "/"
 * between parts. Whoever says them may lie. Pure. */
#ifndef HF_PGFORMAT_PATH_H
#define HF_PGFORMAT_PATH_H

#include <stdbool.h>
#include <stdint.h>

#define PGF_PATH_MAX 1024 /* bytes; a tar member has at most 256, below pg_tblspc/OID */
#define PGF_PATH_PART_MAX 255
#define PGF_PATH_DEPTH_MAX 64
#define PGF_DIRS_MAX (1u << 20) /* of one cluster: a database has one in each tablespace */

/* Relative; no empty, "." or ".." part; no control character; within the bounds above. */
bool pgf_path_is_sane(const char *path);

/* Is it pg_tblspc/OID, or below that? ret_rest: what follows, without the slash, "" for the link
 * itself. An OID is written one way: no sign, no leading zero. */
bool pgf_path_in_tablespace(const char *path, uint32_t *ret_oid, const char **ret_rest);

#endif
