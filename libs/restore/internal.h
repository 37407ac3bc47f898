/* What the files of libs/restore share; not for others. */
#ifndef HF_RESTORE_INTERNAL_H
#define HF_RESTORE_INTERNAL_H

#include "base/vec.h"
#include "pgformat/history.h"
#include "pgformat/label.h"
#include "pgformat/walrec.h"
#include "restore/restore.h"
#include "vault/root.h"
#include "vault/wal_index.h"
#include "vault/wal_reader.h"

typedef HF_VEC(const char *) restore_notes;

/* A directory of the restore, opened before anything was written below it. */
struct restore_sync {
    const char *path;
    int fd;
};
typedef HF_VEC(struct restore_sync) restore_syncs;

/* Everything of one restore. */
struct restore {
    struct hf_ctx *ctx;
    const struct restore_options *options;
    struct vault_place place;
    struct vault_source_state state;
    restore_notes notes;
    restore_syncs syncs; /* the data directory and each tablespace */
    uid_t uid;
    gid_t gid;
    bool has_owner;
    size_t threads;
    bool has_written; /* something of ours is in the directory */
};

/* The way from a point to the target, on paper: nothing is written while it is made. */
struct restore_plan {
    const struct vault_point_info *point;
    struct vault_wal_place wal;
    struct vault_wal_index index;
    struct pgf_history history;         /* of the chosen timeline */
    const struct pgf_history_leg *legs; /* to_lsn of the last is where the WAL at hand ends */
    size_t legs_len;
    uint64_t end_lsn;            /* WAL is placed up to the segment that holds this */
    struct pgf_wal_summary seen; /* of the walk; zero when none was needed */
    /* What postgresql.auto.conf says: at most one target. */
    enum restore_target_kind recovery; /* RESTORE_LATEST: none */
    uint64_t recovery_lsn;
    int64_t proven_time_us;
};

/* plan.c */
struct hf_status restore_plan_make(struct restore *restore,
                                   struct restore_plan *ret_plan) HF_MUST_USE;
/* path.c: WAL bytes along the legs of a plan. One thread per reader. */
struct restore_path;
struct restore_path *restore_path_new(const struct restore *restore,
                                      const struct restore_plan *plan);
void restore_path_free(struct restore_path *path); /* accepts NULL */
struct restore_span {
    uint64_t lsn;
    uint8_t *bytes; /* filled up to ret_len */
    size_t len;
};
/* From the leg that holds lsn, the parent's bytes where the new timeline's begin later. */
struct hf_status restore_path_read(struct hf_ctx *ctx, struct restore_path *path,
                                   const struct restore_span *span, size_t *ret_len) HF_MUST_USE;
/* The same, but never from a leg after the given one. */
struct hf_status restore_path_read_leg(struct hf_ctx *ctx, struct restore_path *path, size_t leg,
                                       const struct restore_span *span,
                                       size_t *ret_len) HF_MUST_USE;

/* place.c: directory and its checks */
struct hf_status restore_dir_check(struct restore *restore, const struct restore_plan *plan,
                                   const struct pgf_tablespace *spaces,
                                   size_t spaces_len) HF_MUST_USE;
struct hf_status restore_dir_begin(struct restore *restore) HF_MUST_USE;
/* Everything durable, then pg_control under its name, then the mark goes. */
struct hf_status restore_dir_end(struct restore *restore) HF_MUST_USE;
/* mkdir with owner; OK when it is there. */
struct hf_status restore_mkdir(struct restore *restore, const char *path, mode_t mode) HF_MUST_USE;
struct hf_status restore_own(struct restore *restore, struct hf_arena *arena, int fd,
                             const char *path) HF_MUST_USE;
/* A whole small file with mode 0600 and owner; replaces. */
struct hf_status restore_write(struct restore *restore, const char *name, const void *bytes,
                               size_t len) HF_MUST_USE;

/* sync.c: path is a new or empty directory of the restore, borrowed; all of them are synced at the
 * end. A failed write below them is a failure then, whenever it happened. */
struct hf_status restore_sync_open(struct restore *restore, const char *path) HF_MUST_USE;
struct hf_status restore_sync_all(struct restore *restore) HF_MUST_USE;
void restore_sync_close(struct restore *restore); /* repeatable */

/* walfiles.c: pg_wal */
struct hf_status restore_wal_place(struct restore *restore, const struct restore_plan *plan,
                                   uint64_t *ret_bytes) HF_MUST_USE;
/* data.c: files of the point, and the manifest */
struct restore_data;
struct hf_status restore_data_run(struct restore *restore, const struct restore_plan *plan,
                                  const struct vault_root *root,
                                  const struct pgf_tablespace *spaces, size_t spaces_len,
                                  struct restore_result *result) HF_MUST_USE;
/* conf.c: configuration, recovery settings; name → bytes of files it made for the manifest */
struct restore_made {
    const char *path;
    uint64_t size_bytes;
    uint32_t crc32c;
};
typedef HF_VEC(struct restore_made) restore_made_files;
struct hf_status restore_conf_write(struct restore *restore, const struct restore_plan *plan,
                                    restore_made_files *made) HF_MUST_USE;
void restore_note(struct restore *restore, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define RESTORE_INCOMPLETE "holdfast.incomplete"
#define RESTORE_CONTROL_TEMP "global/pg_control.holdfast"

#endif
