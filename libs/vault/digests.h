/* The local digest cache: what each page of the predecessor was, so that a backup stores changed
 * pages only. A sealed file (pack of kind CACHE) that describes one backup and can always be
 * rebuilt from that backup's map and pack trailers. Deleting it costs time, never data.
 *
 * In memory: 40 bytes per file (index) and four decoded blobs. Threads: one.
 */
#ifndef HF_VAULT_DIGESTS_H
#define HF_VAULT_DIGESTS_H

#include "vault/map.h"
#include "vault/root.h"

#define VAULT_ATTR_LEN 8 /* keyed digest of a file's attributes */

/* Digest of everything an entry says besides its runs. */
void vault_attrs_digest(const struct vault_keyring *keyring, const struct vault_attrs *attrs,
                        uint8_t ret_digest[VAULT_ATTR_LEN]);

struct vault_digests_file {
    uint8_t key[VAULT_ID_LEN];
    uint8_t attrs[VAULT_ATTR_LEN];
    uint64_t first; /* number of its first digest in the cache */
    uint32_t pages;
    bool is_seen;
};

/* --- reading --- */
struct vault_digests;
/* The cache at path when it describes backup_id; a finished but not yet committed one
 * ("<path>.next") counts. NOT_FOUND missing or of another backup; DATA_LOSS damaged: both mean
 * vault_digests_rebuild. */
struct hf_status vault_digests_open(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                    const char *path, const char *backup_id,
                                    struct vault_digests **ret_digests) HF_MUST_USE;
void vault_digests_free(struct vault_digests *digests); /* accepts NULL */
/* NULL when the predecessor had no such path. */
struct vault_digests_file *vault_digests_find(struct vault_digests *digests,
                                              const uint8_t key[VAULT_ID_LEN]);
/* count × VAULT_DIGEST_LEN bytes; [first_page, first_page + count) is within the file. */
struct hf_status vault_digests_read(struct hf_ctx *ctx, struct vault_digests *digests,
                                    const struct vault_digests_file *file, uint32_t first_page,
                                    uint32_t count, uint8_t *ret_digests) HF_MUST_USE;
/* All files, sorted by key; for tombstones and tests. */
const struct vault_digests_file *vault_digests_files(const struct vault_digests *digests,
                                                     size_t *ret_len);

/* --- writing: to "<path>.next", renamed by commit --- */
struct vault_digests_writer;
struct hf_status vault_digests_writer_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                          const char *path, const char *backup_id,
                                          struct vault_digests_writer **ret_writer) HF_MUST_USE;
uint64_t vault_digests_writer_next(const struct vault_digests_writer *writer);
struct hf_status vault_digests_writer_pages(struct hf_ctx *ctx, struct vault_digests_writer *writer,
                                            const uint8_t *digests, uint32_t count) HF_MUST_USE;
void vault_digests_writer_file(struct vault_digests_writer *writer,
                               const struct vault_digests_file *file);
/* Durable. ALREADY_EXISTS when two files have the same key (a path came twice). */
struct hf_status vault_digests_writer_finish(struct hf_ctx *ctx,
                                             struct vault_digests_writer *writer) HF_MUST_USE;
/* Frees; removes the file when finish did not succeed. Accepts NULL. */
void vault_digests_writer_free(struct vault_digests_writer *writer);
/* "<path>.next" becomes path. NOT_FOUND when there is none. */
struct hf_status vault_digests_commit(struct hf_ctx *ctx, const char *path) HF_MUST_USE;

/* Write the cache of a point anew from its map and the trailers of its packs. */
struct hf_status vault_digests_rebuild(struct hf_ctx *ctx, const struct vault_place *place,
                                       const struct vault_root *root, const char *path) HF_MUST_USE;

static inline void vault_digests_free_cleanup(struct vault_digests **p)
{
    vault_digests_free(*p);
    *p = NULL;
}
static inline void vault_digests_writer_free_cleanup(struct vault_digests_writer **p)
{
    vault_digests_writer_free(*p);
    *p = NULL;
}

#endif
