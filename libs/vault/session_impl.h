/* Inside of a session: three stages, each with its own lock.
 *
 *   feeding thread --units--> workers (digest, compare, compress, place bulk blobs)
 *        --in order--> order stage (digests to the cache, changed pages to gathers, files to the
 * map) packs stage: the open pack, handing whole ones to the uploader thread
 *
 * A unit is up to 64 pages of one file. Units finish out of order and pass the order stage in order
 * through a ring, drained by whichever worker comes by. A page gathered there gets its address
 * when its gather is sealed; a file waits for the last of its pages.
 */
#ifndef HF_VAULT_SESSION_IMPL_H
#define HF_VAULT_SESSION_IMPL_H

#include "base/pool.h"
#include "base/vec.h"
#include "vault/digests.h"
#include "vault/fault.h"
#include "vault/mapset.h"
#include "vault/packtable.h"
#include "vault/session.h"

#define UNIT_PAGES VAULT_BLOB_PAGES
#define UNIT_BYTES ((size_t)UNIT_PAGES * VAULT_PAGE)
#define UNITS_MAX 48u
#define POLL_MS 200

/* Fed but not yet in the map. Fields after the empty line belong to the order stage. */
struct session_file {
    struct vault_attrs attrs; /* its strings are the two below */
    char *path;               /* heap */
    char *link;
    uint8_t key[VAULT_ID_LEN];
    struct vault_digests_file *before; /* the same path in the predecessor, or NULL */

    struct session_file *next; /* all live files, for tearing down */
    struct session_file *prev;
    struct vault_run *runs;
    size_t runs_len;
    size_t runs_cap;
    uint64_t first_digest;
    uint32_t pages;
    uint32_t unplaced; /* pages in gathers that are not sealed yet */
    bool is_ended;     /* the last unit passed */
    bool has_changes;
};

struct unit {
    uint64_t seq;
    struct session_file *file;
    uint32_t first_page;
    uint32_t pages;
    uint32_t before_len; /* pages whose predecessor digest is known, from the first on */
    uint64_t changed;    /* bit per page */
    uint32_t drained;    /* order stage: pages already passed */
    bool is_last;
    bool is_placed; /* all pages are a bulk blob at pack, ordinal */
    uint64_t pack;
    uint32_t ordinal;
    size_t filled; /* bytes */
    uint8_t before[UNIT_PAGES * VAULT_DIGEST_LEN];
    uint8_t after[UNIT_PAGES * VAULT_DIGEST_LEN];
    uint8_t *data; /* UNIT_BYTES */
};

/* Changed pages of several units on their way into one blob. */
struct gather {
    struct gather *next; /* free list */
    uint32_t pages;
    struct session_file *files[UNIT_PAGES];
    uint32_t numbers[UNIT_PAGES]; /* page in its file */
    uint8_t digests[UNIT_PAGES * VAULT_DIGEST_LEN];
    uint8_t *data; /* UNIT_BYTES */
};

struct open_pack {
    struct vault_pack_writer *writer;
    uint64_t number;
    size_t unsealed;
    bool is_full;
};

struct worker {
    struct vault_session *session;
    struct vault_codec_ctx *codec;
    struct hf_arena *arena;
    struct hf_thread *thread;
};

struct vault_session {
    /* Set at begin. */
    struct vault_place place;
    char *prefix;
    char *backup_id;
    char *cache_path;
    const struct vault_root *predecessor;
    struct vault_map_set no_map;
    struct vault_session_progress *progress;
    struct vault_session_progress own_progress;
    struct hf_ctx base; /* cancellation of begin's ctx for all threads; no arena */
    unsigned level;
    size_t units_len;

    /* Feeding thread. */
    struct hf_arena *arena;
    struct vault_digests *digests; /* NULL without predecessor */
    struct session_file *file;
    struct unit *unit;
    uint64_t next_seq;
    uint32_t file_pages; /* dispatched */
    uint32_t crc32c;
    uint32_t last_crc32c;
    bool is_cache_rebuilt;
    bool is_finished;
    bool is_stopped;
    HF_VEC(const char *) written; /* tables and root, for abort */
    struct vault_codec_ctx *codec;

    /* Queues. */
    struct hf_queue *free_units;
    struct hf_queue *work;
    struct unit *units;
    uint8_t *unit_data;
    struct worker workers[VAULT_THREADS_MAX];
    size_t workers_len;

    struct hf_lock order; /* guards down to the empty line; held over appends to the cache file
                             and, once per 16 MiB of map entries, over the put of an overlay */
    struct unit *ring[UNITS_MAX];
    uint64_t next_drain;
    struct gather *gather; /* open one, or NULL */
    struct gather *free_gathers;
    struct session_file *files;
    struct vault_map_builder *builder;
    struct vault_digests_writer *cache;
    uint64_t files_done;

    struct hf_lock packs; /* guards down to the empty line */
    struct open_pack *current;
    size_t alive; /* open, full and uploading */
    uint64_t next_pack;
    struct vault_packtable fresh; /* put */
    struct hf_queue *uploads;
    struct hf_thread *uploader;
    uint64_t table_bytes;

    struct vault_fault fault;
};

/* --- packs stage (any thread) --- */

struct session_place {
    uint64_t pack;
    uint32_t ordinal;
};
/* Put one blob of pages into the open pack, waiting for memory when all packs are busy. */
struct hf_status vault_session_place(struct hf_ctx *ctx, struct vault_session *session,
                                     const struct vault_blob_in *blob,
                                     struct session_place *ret_place) HF_MUST_USE;
/* Compress and place whole pages. */
struct hf_status vault_session_store(struct hf_ctx *ctx, struct vault_session *session,
                                     struct vault_codec_ctx *codec, struct hf_bytes plain,
                                     const uint8_t *digests,
                                     struct session_place *ret_place) HF_MUST_USE;
struct hf_status vault_session_packs_start(struct hf_ctx *ctx,
                                           struct vault_session *session) HF_MUST_USE;
/* Upload what is open and wait for the uploader to end. */
void vault_session_packs_end(struct vault_session *session);
/* Raise next_pack above the packs that exist already. */
struct hf_status vault_session_packs_number(struct hf_ctx *ctx, struct vault_session *session,
                                            uint64_t at_least) HF_MUST_USE;
void vault_session_packs_free(struct vault_session *session);

/* --- order stage --- */
void vault_session_order_new(struct vault_session *session, size_t gathers);
void vault_session_order_free(struct vault_session *session);
/* A worked unit; drains what is next, sealing gathers that become full. */
void vault_session_order_unit(struct hf_ctx *ctx, struct vault_session *session,
                              struct vault_codec_ctx *codec, struct unit *unit);
/* A file without pages, a directory, a symlink: complete at once. */
void vault_session_order_entry(struct hf_ctx *ctx, struct vault_session *session,
                               struct session_file *file);
/* Seal the open gather. All workers have ended. */
void vault_session_order_flush(struct hf_ctx *ctx, struct vault_session *session);
void vault_session_file_link(struct vault_session *session, struct session_file *file);
void vault_session_file_free(struct session_file *file);

/* --- workers --- */
struct hf_status vault_session_workers_start(struct hf_ctx *ctx, struct vault_session *session,
                                             size_t count) HF_MUST_USE;
/* Close the queue, let workers finish, join. Repeatable. */
void vault_session_workers_end(struct vault_session *session);
/* Give a unit back to the feeding thread. */
void vault_session_unit_free(struct vault_session *session, struct unit *unit);

#endif
