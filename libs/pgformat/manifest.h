/* Writes a backup_manifest, streamed: begin, one call per file, finish. pg_verifybackup reads it.
 *
 * Version 1; version 2 (with the system identifier) for servers from 17 on. The closing checksum is
 * SHA-256 over all that precedes its line. Memory does not grow with the number of files.
 */
#ifndef HF_PGFORMAT_MANIFEST_H
#define HF_PGFORMAT_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/status.h"

struct pgf_manifest_options {
    /* Takes the text piece by piece (at most 64 KiB each). */
    struct hf_status (*write)(void *arg, const void *bytes, size_t len);
    void *arg;
    int server_major;
    uint64_t system_identifier;
};

struct pgf_manifest_file {
    const char *path; /* relative to the data directory; tablespaces as pg_tblspc/OID/… */
    uint64_t size_bytes;
    int64_t mtime_s;
    uint32_t crc32c; /* of the whole file, finalised */
};

struct pgf_manifest_range {
    uint32_t timeline;
    uint64_t start_lsn;
    uint64_t end_lsn;
};

struct pgf_manifest;
struct pgf_manifest *pgf_manifest_new(const struct pgf_manifest_options *options);
void pgf_manifest_free(struct pgf_manifest *manifest); /* accepts NULL */

/* Paths that are not UTF-8 are written hex-encoded. Errors  the writer's. */
struct hf_status pgf_manifest_add(struct pgf_manifest *manifest,
                                  const struct pgf_manifest_file *file) HF_MUST_USE;
/* WAL that recovery needs, [start, end) per timeline, then the checksum. */
struct hf_status pgf_manifest_finish(struct pgf_manifest *manifest,
                                     const struct pgf_manifest_range *ranges,
                                     size_t len) HF_MUST_USE;

HF_DEFINE_CLEANUP(struct pgf_manifest *, pgf_manifest_free)

#endif
