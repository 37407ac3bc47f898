/* What the files of the local store share. */
#ifndef HF_OBJSTORE_LOCAL_INTERNAL_H
#define HF_OBJSTORE_LOCAL_INTERNAL_H

#include <sys/types.h>

#include "objstore/objstore.h"

#define LOCAL_TEMP_DIR ".tmp" /* below the root; no object name starts with a dot */
#define LOCAL_ATTEMPTS 16     /* a directory that somebody else removes while we fill it */

struct local_store {
    struct objstore base; /* first: a store is an objstore */
    char *dir;            /* heap */
    int root;             /* directory handle; every path is relative to it */
};

static inline struct local_store *local_of(struct objstore *store)
{
    return (struct local_store *)(void *)store;
}

/* openat2 below the root: no symbolic link is followed, nothing above the root is reached, and a
 * FIFO does not block. The descriptor, or -1 with errno: ELOOP for a link. */
int local_open(const struct local_store *store, const char *path, int flags, mode_t mode);
/* Is it said by errno that there is no object of this name: nothing, or a link, socket, device? */
bool local_is_absent(int error);
/* Handle of the directory that holds name, and the name's last part. -1 with errno. */
int local_open_parent(struct hf_arena *arena, const struct local_store *store, const char *name,
                      const char **ret_base);
/* Make the directories above an object, each flushed into its parent. */
struct hf_status local_make_parents(struct hf_ctx *ctx, const struct local_store *store,
                                    const char *name) HF_MUST_USE;
/* Give the file at from (relative to the root) its final name, exclusively, and make the name
 * durable. ALREADY_EXISTS. */
struct hf_status local_link(struct hf_ctx *ctx, const struct local_store *store, const char *from,
                            const char *name) HF_MUST_USE;
/* Flush the directory that holds name. */
struct hf_status local_sync_parent(struct hf_ctx *ctx, const struct local_store *store,
                                   const char *name) HF_MUST_USE;
/* Remove the file of this name; OK when there is none. Not durable. */
struct hf_status local_unlink(struct hf_ctx *ctx, const struct local_store *store,
                              const char *name) HF_MUST_USE;
/* Is the store still the directory at its path? Asked after a flush and before anybody is told of
 * it: what is durable in a directory that was moved, unmounted or mounted over is lost to the next
 * process. UNAVAILABLE VAULT_REPLACED. */
struct hf_status local_check_place(struct hf_ctx *ctx, const struct local_store *store) HF_MUST_USE;
/* The same, and the open file fd is still what name leads to. */
struct hf_status local_check_name(struct hf_ctx *ctx, const struct local_store *store, int fd,
                                  const char *name) HF_MUST_USE;
/* Directory part of a name, "." for none. */
const char *local_parent(struct hf_arena *arena, const char *name);

struct hf_status local_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                            const char *after, size_t max, struct objstore_page *ret_page);

struct hf_status local_append_create(struct hf_ctx *ctx, struct objstore *base, const char *name,
                                     struct objstore_appender **ret_appender);
struct hf_status local_append(struct hf_ctx *ctx, struct objstore_appender *appender,
                              struct hf_bytes bytes, bool is_durable);
struct hf_status local_append_close_as(struct hf_ctx *ctx, struct objstore_appender *appender,
                                       const char *final_name);
void local_append_leave(struct objstore_appender *appender);

#endif
