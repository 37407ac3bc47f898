/* Reading a backup back into files: the map says which pages are where, worker threads take whole
 * packs, decode each blob once and write its pages where they belong. */
#ifndef HF_VAULT_EXTRACT_H
#define HF_VAULT_EXTRACT_H

#include <stdatomic.h>

#include "vault/root.h"

enum vault_extract_action {
    VAULT_EXTRACT_SKIP = 0,
    VAULT_EXTRACT_CREATE = 1, /* must not exist; created, set to its size, all-zero pages are
                                 left as holes */
    VAULT_EXTRACT_OVER = 2,   /* may exist: cut or grown to its size, every page is written */
};

struct vault_extract_file {
    enum vault_extract_action action;
    int dir;      /* open directory, the sink's until extraction ends */
    char *path;   /* where it goes below dir; in ctx->arena of the call, copied */
    void *cookie; /* given back to file_done */
};

/* Who decides what goes where. Any function may fail: extraction ends with that status. ctx->arena
 * of these calls is emptied every now and then: what must stay belongs elsewhere. */
struct vault_extract_sink {
    void *arg;
    /* First pass, feeding thread: a directory, in no particular order (make parents, too). */
    struct hf_status (*dir)(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs);
    /* Second pass, feeding thread: a symlink. Nothing is made of it unless the sink does. */
    struct hf_status (*symlink)(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs);
    /* Second pass, feeding thread: says where a file goes. Its directory exists afterwards.
     * Files are created with mode 0600 and never through a link; file_done sets the rest. */
    struct hf_status (*file)(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs,
                             struct vault_extract_file *ret_file);
    /* All pages of the file are written. Any thread; NULL when not needed. fd is open for
     * writing and stays the extractor's. path and cookie are those of file. */
    struct hf_status (*file_done)(struct hf_ctx *ctx, void *arg, int fd, const char *path,
                                  void *cookie);
};

struct vault_extract_progress {
    atomic_uint_fast64_t bytes_total; /* of the files taken so far; complete when all are listed */
    atomic_uint_fast64_t bytes_done;
    atomic_uint_fast64_t files_done;
};

struct vault_extract_options {
    struct vault_place place; /* full or borrowed keyring */
    const struct vault_root *root;
    const struct vault_extract_sink *sink;
    unsigned threads;                        /* 0: number of cores */
    struct vault_extract_progress *progress; /* or NULL */
};

/* Runs to the end, the first failure, or cancellation of ctx. DATA_LOSS names object and offset,
 * or the path whose pages the map does not cover, that is named twice, or that lies in no directory
 * of the backup. Memory: a pack per thread, 24 bytes per run of
 * a batch of shards, 64 bytes per open file. */
struct hf_status vault_extract(struct hf_ctx *ctx,
                               const struct vault_extract_options *options) HF_MUST_USE;

/* Reads one small file whole (configuration, labels): NOT_FOUND; RESOURCE_EXHAUSTED when larger
 * than the buffer's maximum. */
struct hf_status vault_extract_one(struct hf_ctx *ctx, const struct vault_place *place,
                                   const struct vault_root *root, const char *path,
                                   struct hf_buf *buf) HF_MUST_USE;

#endif
