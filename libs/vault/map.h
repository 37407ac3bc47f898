/* The map of a backup: which page of which file is where. It is the file list, too.
 *
 * A *table* is one object (pack of kind MAP): entries sorted by (path key, segment) in blobs of
 * about 128 KiB, and an index in the last blob. A *shard* is a range of path keys with one base
 * table and at most VAULT_OVERLAYS_MAX overlays, oldest first; an overlay may be shared by
 * shards. Reading merges: attributes of the newest, runs painted oldest to newest, cut to the
 * newest size; a tombstone hides all older entries of its key. Bytes: docs/vault-format.md.
 *
 * A file of more than VAULT_SEGMENT_PAGES pages has one entry per segment of that many, so that
 * memory is bounded whatever the file's size; attributes are in segment 0 only. One table may hold
 * several entries of the same (key, segment) when their runs are disjoint.
 */
#ifndef HF_VAULT_MAP_H
#define HF_VAULT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "vault/bits.h"
#include "vault/names.h"
#include "vault/pack.h"

#define VAULT_OVERLAYS_MAX 64u
#define VAULT_SEGMENT_PAGES 131072u /* 1 GiB */
#define VAULT_PATH_MAX 4096u        /* of a path or link target, without NUL */
#define VAULT_FILE_MAX (UINT64_C(0xfffffff0) * VAULT_PAGE) /* bytes of one file: 32 TiB */

enum vault_node {
    VAULT_NODE_GONE = 0, /* tombstone; never seen by readers of a merged map */
    VAULT_NODE_FILE = 1,
    VAULT_NODE_DIR = 2,
    VAULT_NODE_SYMLINK = 3,
    VAULT_NODE_RUNS = 4, /* runs only; attributes are in another entry of the key */
};

struct vault_run {
    uint64_t pack;
    uint32_t ordinal; /* of the first page in the pack */
    uint32_t first_page;
    uint32_t count;
};

struct vault_attrs {
    enum vault_node node;
    const char *path; /* relative to the source, '/'-separated, as the session was given it */
    const char *link; /* symlinks: target; else "" */
    uint32_t mode;    /* permission bits */
    uint32_t crc32c;  /* files: of all bytes */
    int64_t mtime_us;
    uint64_t size_bytes; /* files; else 0 */
};

struct vault_map_entry {
    uint8_t key[VAULT_ID_LEN];
    uint32_t segment;
    struct vault_attrs attrs;     /* merged reading: of the file, in each of its segments */
    const struct vault_run *runs; /* rising first_page, disjoint */
    size_t runs_len;
};

static inline uint64_t vault_pages_of(uint64_t size_bytes)
{
    return size_bytes / VAULT_PAGE + (size_bytes % VAULT_PAGE != 0);
}

/* One object of the vault that a root names. */
struct vault_table_ref {
    uint8_t id[VAULT_ID_LEN];
    uint8_t sha256[VAULT_HASH_LEN];
    uint64_t size_bytes;
    uint64_t plain_bytes; /* of its entries */
    uint64_t entries;
};

/* Part of a table that belongs to a shard. */
struct vault_share {
    uint32_t table; /* index into vault_map_set.tables */
    uint64_t bytes; /* plain bytes of the entries in the shard's range */
};
struct vault_shard {
    uint8_t first_key[VAULT_ID_LEN]; /* the range ends where the next shard begins */
    struct vault_share *shares;      /* base, then overlays from old to new */
    size_t shares_len;
};
/* The whole map of a point, as its root carries it. */
struct vault_map_set {
    struct vault_table_ref *tables;
    size_t tables_len;
    struct vault_shard *shards; /* rising first_key; the first is all zeros; none: empty map */
    size_t shards_len;
};

/* --- codec of blobs (pure) ----------------------------------------------------------------- */

/* Append one entry. */
void vault_map_entry_encode(struct hf_buf *buf, const struct vault_map_entry *entry);

/* Walks the entries of one blob. Paths and runs live in the cursor until the next call. */
struct vault_map_cursor;
struct vault_map_cursor *vault_map_cursor_new(void);
void vault_map_cursor_free(struct vault_map_cursor *cursor); /* accepts NULL */
/* The next blob of the same table: its entries come behind those before. bytes stay borrowed until
 * the next reset. */
void vault_map_cursor_reset(struct vault_map_cursor *cursor, struct hf_bytes bytes);
/* *ret_entry NULL at the end. DATA_LOSS on bytes that are no entry, or not in order. */
struct hf_status vault_map_cursor_next(struct hf_arena *arena, struct vault_map_cursor *cursor,
                                       const struct vault_map_entry **ret_entry) HF_MUST_USE;

/* Index of a table: its last blob. */
#define VAULT_MAP_KEY_LEN (VAULT_ID_LEN + 4) /* path key, be32 segment */
struct vault_map_index {
    const uint8_t *first_keys; /* blobs × VAULT_MAP_KEY_LEN, borrowed from the decoded bytes */
    size_t blobs;
    uint64_t entries;
    uint64_t plain_bytes;
    struct hf_bytes packs; /* encoded set of packs that the entries name */
};
struct hf_status vault_map_index_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                        struct vault_map_index *ret_index) HF_MUST_USE;
/* Add the packs that the table names to bits. */
struct hf_status vault_map_index_packs(struct hf_arena *arena, const struct vault_map_index *index,
                                       struct vault_bits *bits) HF_MUST_USE;

/* Paths are relative, without empty, "." or ".." parts, 1 to VAULT_PATH_MAX bytes. Pure. */
bool vault_path_is_sane(const char *path);

/* --- tables -------------------------------------------------------------------------------- */

/* Writes one table; entries come in order. One thread; at most VAULT_TABLE_PLAIN_MAX bytes of
 * entries. */
#define VAULT_TABLE_PLAIN_MAX (24u << 20)
struct vault_map_writer;
struct hf_status vault_map_writer_new(struct hf_ctx *ctx, const struct vault_place *place,
                                      struct vault_map_writer **ret_writer) HF_MUST_USE;
struct hf_status vault_map_writer_add(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                      const struct vault_map_entry *entry) HF_MUST_USE;
/* An entry that is encoded already (key ‖ be32 segment first); the packs that such entries name
 * are told apart. */
struct hf_status vault_map_writer_add_encoded(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                              struct hf_bytes entry) HF_MUST_USE;
void vault_map_writer_add_packs(struct vault_map_writer *writer, const struct vault_bits *packs);
uint64_t vault_map_writer_plain_bytes(const struct vault_map_writer *writer);
/* Puts the object (durable when it returns). */
struct hf_status vault_map_writer_finish(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                         struct vault_table_ref *ret_ref) HF_MUST_USE;
void vault_map_writer_free(struct vault_map_writer *writer); /* accepts NULL */

/* --- reading ------------------------------------------------------------------------------- */

/* One table in order, from the first entry with key ≥ low to the last with key < high (NULL: no
 * bound). */
struct vault_map_reader;
struct hf_status vault_map_reader_new(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *ref, const uint8_t *low,
                                      const uint8_t *high,
                                      struct vault_map_reader **ret_reader) HF_MUST_USE;
/* *ret_entry NULL at the end; else valid until the next call. */
struct hf_status vault_map_reader_next(struct hf_ctx *ctx, struct vault_map_reader *reader,
                                       const struct vault_map_entry **ret_entry) HF_MUST_USE;
/* Packs named by the whole table. */
struct hf_status vault_map_reader_packs(struct hf_ctx *ctx, const struct vault_map_reader *reader,
                                        struct vault_bits *bits) HF_MUST_USE;
void vault_map_reader_free(struct vault_map_reader *reader); /* accepts NULL */

/* Merged entries of the shards [first, first + count) of a set, in order of (key, segment).
 * Memory: one blob per table of a shard and 4 MiB. One thread. set stays borrowed. */
struct vault_map_iter;
struct hf_status vault_map_iter_new(struct hf_ctx *ctx, const struct vault_place *place,
                                    const struct vault_map_set *set, size_t first, size_t count,
                                    struct vault_map_iter **ret_iter) HF_MUST_USE;
/* *ret_entry NULL at the end; else valid until the next call. DATA_LOSS names the table. */
struct hf_status vault_map_iter_next(struct hf_ctx *ctx, struct vault_map_iter *iter,
                                     const struct vault_map_entry **ret_entry) HF_MUST_USE;
void vault_map_iter_free(struct vault_map_iter *iter); /* accepts NULL */

static inline void vault_map_cursor_free_cleanup(struct vault_map_cursor **p)
{
    vault_map_cursor_free(*p);
    *p = NULL;
}
static inline void vault_map_writer_free_cleanup(struct vault_map_writer **p)
{
    vault_map_writer_free(*p);
    *p = NULL;
}
static inline void vault_map_reader_free_cleanup(struct vault_map_reader **p)
{
    vault_map_reader_free(*p);
    *p = NULL;
}
static inline void vault_map_iter_free_cleanup(struct vault_map_iter **p)
{
    vault_map_iter_free(*p);
    *p = NULL;
}

#endif
