/* Inside of an extraction. Files are taken in batches; of a batch all runs are sorted by pack and
 * shared out to threads pack by pack. Inside libs/vault only. */
#ifndef HF_VAULT_EXTRACT_IMPL_H
#define HF_VAULT_EXTRACT_IMPL_H

#include <stdatomic.h>

#include "base/vec.h"
#include "vault/extract.h"
#include "vault/fault.h"
#include "vault/packtable.h"

#define FDS_MAX 128u /* more than threads, so that one is always free to be closed */

struct extract_file {
    int dir; /* the sink's */
    const char *path;
    void *cookie;
    uint64_t size_bytes;
    atomic_uint_fast64_t pages_left;
    int slot; /* of the open descriptors, -1: closed; guarded by extract.fds_lock */
    bool is_made;
    bool is_fresh; /* made by us: what is not written reads as zeros */
};

struct extract_piece {
    uint32_t pack;
    uint32_t ordinal;
    uint32_t file; /* index in the batch */
    uint32_t first_page;
    uint32_t count;
};

struct extract_fd {
    int fd; /* -1: unused */
    struct extract_file *file;
    unsigned refs;
    uint64_t tick;
};

struct extract_job {
    size_t first; /* pieces [first, end) of one pack */
    size_t end;
};

struct extract {
    const struct vault_extract_options *options;
    struct hf_ctx base; /* for threads: cancellation without arena */
    struct vault_extract_progress own_progress;
    struct vault_extract_progress *progress;
    struct vault_packtable packs;
    struct vault_fault fault;

    /* The batch. */
    struct hf_arena *arena;
    struct extract_file **files; /* arena; grows while the batch is collected */
    size_t files_len;
    size_t files_cap;
    struct extract_piece *pieces; /* heap */
    size_t pieces_len;
    size_t pieces_cap;
    struct extract_job *jobs; /* heap */
    size_t jobs_len;
    /* Each thread begins with its own stretch of packs, as neighbouring packs hold the same file
     * and two writers of one file wait for each other; then it helps the others. */
    atomic_size_t next_job[VAULT_THREADS_MAX];
    unsigned threads;

    struct hf_lock fds_lock; /* guards the rest; held over open and close only */
    struct extract_fd fds[FDS_MAX];
    uint64_t tick;
};

/* --- extract_files.c --- */
void vault_extract_fds_init(struct extract *extract);
/* Closes all. */
void vault_extract_fds_done(struct extract *extract);
/* Write count pages of data to first_page of the file; calls file_done after the last. */
struct hf_status vault_extract_pages(struct hf_ctx *ctx, struct extract *extract,
                                     struct extract_file *file, const struct extract_piece *at,
                                     const uint8_t *data) HF_MUST_USE;
/* A file without pages: make it and call file_done. */
struct hf_status vault_extract_empty(struct hf_ctx *ctx, struct extract *extract,
                                     struct extract_file *file) HF_MUST_USE;

/* --- extract_packs.c --- */
/* Fetch all pieces of the batch, with threads. */
struct hf_status vault_extract_batch(struct hf_ctx *ctx, struct extract *extract) HF_MUST_USE;

#endif
