/* Push reader for the tar streams of BASE_BACKUP: feed any chunks, get members as events.
 *
 * Ustar with PostgreSQL's additions: base-256 sizes, an end that may lack its two zero blocks
 * (servers before 15). Members are plain files, directories and symbolic links; anything else, a
 * bad checksum, an absolute path or a ".." is DATA_LOSS. Pure, no heap.
 */
#ifndef HF_PGFORMAT_TAR_H
#define HF_PGFORMAT_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PGF_TAR_BLOCK 512
#define PGF_TAR_PATH_MAX 256 /* prefix 155 + "/" + name 100 */
#define PGF_TAR_LINK_MAX 100
#define PGF_TAR_SIZE_MAX (UINT64_C(1) << 44)    /* 16 TiB: no member of a cluster is larger */
#define PGF_TAR_MTIME_MAX (INT64_MAX / 1000000) /* seconds; microseconds then fit as well */

enum pgf_tar_kind { PGF_TAR_FILE, PGF_TAR_DIRECTORY, PGF_TAR_SYMLINK };

struct pgf_tar_member {
    const char *path; /* relative, no "." or ".." parts, no slash at the end, never empty */
    const char *link; /* target of a symbolic link, may be absolute; else "" */
    enum pgf_tar_kind kind;
    uint64_t size_bytes; /* 0 unless a file */
    uint32_t mode;       /* permission bits 07777 */
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_s;
};

/* Per member: header, data* (files only, in order, non-empty pieces), end. A callback that fails
 * ends the feed with its status. member and bytes are borrowed until the callback returns. */
struct pgf_tar_events {
    struct hf_status (*header)(void *arg, const struct pgf_tar_member *member);
    struct hf_status (*data)(void *arg, const uint8_t *bytes, size_t len);
    struct hf_status (*end)(void *arg);
    void *arg;
};

struct pgf_tar {
    struct pgf_tar_events events;
    uint64_t data_left;    /* of the member in progress */
    uint32_t padding_left; /* zero bytes up to the next block */
    uint32_t header_len;   /* bytes gathered in header */
    bool is_ended;         /* a zero block was seen */
    uint8_t header[PGF_TAR_BLOCK];
    char path[PGF_TAR_PATH_MAX + 1];
    char link[PGF_TAR_LINK_MAX + 1];
};

void pgf_tar_init(struct pgf_tar *tar, const struct pgf_tar_events *events);

/* Feed the next bytes of one archive. arena holds error messages only.
 * Errors   DATA_LOSS, naming the member where there is one; what a callback returned
 * Repeat   not after an error. */
struct hf_status pgf_tar_feed(struct pgf_tar *tar, struct hf_arena *arena, const uint8_t *bytes,
                              size_t len) HF_MUST_USE;

/* The archive is over: DATA_LOSS when it ends inside a member. The reader is then ready for the
 * next archive. */
struct hf_status pgf_tar_finish(struct pgf_tar *tar, struct hf_arena *arena) HF_MUST_USE;

#endif
