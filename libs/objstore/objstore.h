/* An object store: immutable named byte strings. Nothing is ever overwritten.
 *
 * Names are '/'-separated, [A-Za-z0-9._-] in each part, at most 1000 bytes, no part starts with a
 * dot. A store is a table of functions; objstore_local_open gives the one on a directory.
 * Threads: any; a store has no mutable state of its own.
 */
#ifndef HF_OBJSTORE_OBJSTORE_H
#define HF_OBJSTORE_OBJSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/str.h"

struct objstore;

struct objstore_entry {
    const char *name; /* arena of the call */
    uint64_t size_bytes;
};

/* One page of a listing in byte order. */
struct objstore_page {
    struct objstore_entry *entries;
    size_t len;
    bool is_complete; /* false: call again with after = last name */
};

/* A growing object: only stores with can_append have them (local directories). */
struct objstore_appender;

struct objstore_ops {
    const char *kind; /* "local", "remote" … */
    bool can_append;
    /* Durable when it returns. ALREADY_EXISTS when the name is taken (the object is untouched). */
    struct hf_status (*put)(struct hf_ctx *ctx, struct objstore *store, const char *name,
                            struct hf_bytes bytes);
    /* Whole size. NOT_FOUND. */
    struct hf_status (*head)(struct hf_ctx *ctx, struct objstore *store, const char *name,
                             uint64_t *ret_size);
    /* Exactly len bytes from offset into ret_bytes. NOT_FOUND; OUT_OF_RANGE past the end. */
    struct hf_status (*read)(struct hf_ctx *ctx, struct objstore *store, const char *name,
                             uint64_t offset, size_t len, void *ret_bytes);
    /* Names that begin with prefix and are > after (NULL: from the start), at most max. */
    struct hf_status (*list)(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                             const char *after, size_t max, struct objstore_page *ret_page);
    /* OK also when it was not there. Durable when it returns. Directories left empty go, too. */
    struct hf_status (*remove)(struct hf_ctx *ctx, struct objstore *store, const char *name);
    void (*free)(struct objstore *store);

    /* Growing objects, when can_append. create is exclusive: ALREADY_EXISTS. append is durable
     * (fdatasync) when is_durable; close_as gives the finished object its final name, exclusively,
     * and removes the growing one (the growing name stays readable until then). close_as frees the
     * appender when it succeeds; after an error it is still the caller's to leave. After a failed
     * append nothing more is accepted (FAILED_PRECONDITION): begin a new object. */
    struct hf_status (*append_create)(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                      struct objstore_appender **ret_appender);
    struct hf_status (*append)(struct hf_ctx *ctx, struct objstore_appender *appender,
                               struct hf_bytes bytes, bool is_durable);
    struct hf_status (*append_close_as)(struct hf_ctx *ctx, struct objstore_appender *appender,
                                        const char *final_name);
    /* Leave the growing object as it is and free the appender. Accepts NULL. */
    void (*append_leave)(struct objstore_appender *appender);
};

struct objstore {
    const struct objstore_ops *ops;
};

#define OBJSTORE_NAME_MAX 1000 /* bytes */

/* Valid object name? Pure. The append functions check names themselves. */
bool objstore_is_name(const char *name);

/* The store on directory dir, which must exist when create is false; else made with mode 0700.
 * Growing and temporary files are part of the tree but never listed under their final name before
 * they are complete: put writes dir/.tmp/…, fsyncs, links (O_EXCL semantics), fsyncs the
 * directory. What returns as durable is durable in the directory that is at dir at that moment:
 * when it was moved, removed, unmounted or mounted over, put, a durable append and close_as fail.
 * Errors of these   UNAVAILABLE VAULT_REPLACED */
struct hf_status objstore_local_open(struct hf_ctx *ctx, const char *dir, bool create,
                                     struct objstore **ret_store) HF_MUST_USE;

/* Thin wrappers over ops that check names. */
struct hf_status objstore_put(struct hf_ctx *ctx, struct objstore *store, const char *name,
                              struct hf_bytes bytes) HF_MUST_USE;
struct hf_status objstore_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                               uint64_t *ret_size) HF_MUST_USE;
struct hf_status objstore_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                               uint64_t offset, size_t len, void *ret_bytes) HF_MUST_USE;
struct hf_status objstore_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                               const char *after, size_t max,
                               struct objstore_page *ret_page) HF_MUST_USE;
/* All pages of a listing, at most max names; RESOURCE_EXHAUSTED beyond. */
struct hf_status objstore_list_all(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                   size_t max, struct objstore_page *ret_page) HF_MUST_USE;
struct hf_status objstore_remove(struct hf_ctx *ctx, struct objstore *store,
                                 const char *name) HF_MUST_USE;
void objstore_free(struct objstore *store); /* accepts NULL */

static inline void objstore_free_cleanup(struct objstore **store)
{
    objstore_free(*store);
    *store = NULL;
}

#endif
