/* What the files of libs/restore share; not for others. */
#ifndef HF_RESTORE_INTERNAL_H
#define HF_RESTORE_INTERNAL_H

#include "base/beneath.h"
#include "base/vec.h"
#include "pgformat/history.h"
#include "pgformat/label.h"
#include "pgformat/walrec.h"
#include "restore/restore.h"
#include "vault/root.h"
#include "vault/wal_index.h"
#include "vault/wal_reader.h"

typedef HF_VEC(const char *) restore_notes;

/* One directory that a restore writes: the data directory or a tablespace. It is opened once; all
 * below it is named relative to fd, and to nobody but us while the restore runs. */
struct restore_dir {
    const char *path;      /* as the operator named it */
    uint32_t oid;          /* of the tablespace; 0: the data directory */
    uint64_t bytes;        /* of its files in the backup; 0 of the data directory */
    struct hf_place found; /* how much of the path there was */
    int fd;                /* the directory itself; -1: not made yet */
    int parent;            /* what its name is in; -1 likewise */
    bool is_ours;          /* closed to others, and something of ours is in it or will be */
};
typedef HF_VEC(struct restore_dir) restore_dirs;

/* Everything of one restore. */
struct restore {
    struct hf_ctx *ctx;
    const struct restore_options *options;
    struct vault_place place;
    struct vault_source_state state;
    restore_notes notes;
    restore_dirs dirs; /* the data directory, then the tablespaces by rising oid */
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

/* spaces.c: the data directory and each tablespace of the backup into restore->dirs, nothing
 * opened; errors of restore_run about tablespaces. */
struct hf_status restore_dirs_choose(struct restore *restore,
                                     const struct vault_root *root) HF_MUST_USE;

/* place.c: the directories and their checks */
struct hf_status restore_dir_check(struct restore *restore,
                                   const struct restore_plan *plan) HF_MUST_USE;
/* Makes them, closed to everybody else, with the mark. */
struct hf_status restore_dir_begin(struct restore *restore) HF_MUST_USE;
/* Everything durable, then pg_control under its name, then the mark goes; the owner may come in. */
struct hf_status restore_dir_end(struct restore *restore) HF_MUST_USE;
void restore_dir_close(struct restore *restore); /* repeatable */

/* below.c: names below a directory of the restore; no link is followed. */
const struct restore_dir *restore_data_dir(const struct restore *restore);
struct hf_status restore_own(struct restore *restore, struct hf_arena *arena, int fd,
                             const char *path) HF_MUST_USE;
/* Foreign text as a person may see it. */
const char *restore_shown(struct hf_arena *arena, const char *text);
/* What the backup itself says wrongly is DATA_LOSS; all else by errno. */
struct hf_status restore_fail(struct hf_arena *arena, int error, const char *what,
                              const char *path) HF_MUST_USE;
/* A directory with what is missing above it, owned; OK when it is there. */
struct hf_status restore_mkdir(struct restore *restore, struct hf_arena *arena,
                               const struct restore_dir *dir, const char *path,
                               mode_t mode) HF_MUST_USE;
/* The rest is in the data directory. A new file with mode 0600, owned; must not exist. */
struct hf_status restore_create(struct restore *restore, struct hf_arena *arena, const char *name,
                                int *ret_fd) HF_MUST_USE;
/* A whole small file with mode 0600, owned and durable; replaces. */
struct hf_status restore_write(struct restore *restore, const char *name, const void *bytes,
                               size_t len) HF_MUST_USE;
/* A whole small file, up to what buf takes. */
struct hf_status restore_read(struct restore *restore, const char *name, struct hf_buf *buf,
                              bool *ret_is_there) HF_MUST_USE;
struct hf_status restore_fsync_dir(struct restore *restore, const char *name) HF_MUST_USE;

/* sync.c: a failed write below any directory of the restore is a failure here, whenever it
 * happened. */
struct hf_status restore_sync_all(struct restore *restore) HF_MUST_USE;

/* walfiles.c: pg_wal */
struct hf_status restore_wal_place(struct restore *restore, const struct restore_plan *plan,
                                   uint64_t *ret_bytes) HF_MUST_USE;
/* data.c: files of the point, and the manifest */
struct restore_data;
struct hf_status restore_data_run(struct restore *restore, const struct restore_plan *plan,
                                  const struct vault_root *root,
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

#define SHOWN_MAX_BYTES 512
#define RESTORE_INCOMPLETE "holdfast.incomplete"
#define RESTORE_CONTROL_TEMP "global/pg_control.holdfast"

#endif
