/* Bringing a PostgreSQL cluster back from a vault into a directory, to a chosen moment.
 *
 * One code for the command line through the service and for the offline reader: both give an object
 * store and a keyring. Order of the work: choose the point, fetch WAL into <dir>/pg_wal, walk it to
 * prove that the target is reachable, and only then write data; configuration, labels and manifest
 * after the data, pg_control last, everything fsynced. Until the end the directory holds
 * "holdfast.incomplete", without which no restored directory is ever left half done in silence.
 *
 * What a stock PostgreSQL does with the result: recovery.signal, restore_command = 'false' (all WAL
 * is in pg_wal), recovery_target_* as asked, recovery_target_timeline = the number that was chosen.
 */
#ifndef HF_RESTORE_RESTORE_H
#define HF_RESTORE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "objstore/objstore.h"
#include "vault/extract.h"
#include "vault/journal.h"
#include "vault/keyring.h"

enum restore_target_kind {
    RESTORE_LATEST,    /* all WAL that is durable, the newest timeline */
    RESTORE_IMMEDIATE, /* as soon as the backup is consistent */
    RESTORE_TIME,
    RESTORE_LSN,
    RESTORE_XID,
    RESTORE_NAME, /* pg_create_restore_point */
};

struct restore_target {
    enum restore_target_kind kind;
    int64_t time_us;
    uint64_t lsn;
    uint64_t xid;
    const char *name;
    bool is_exclusive;
    uint32_t timeline; /* 0: the newest that holds the target */
};

enum restore_action { RESTORE_PROMOTE, RESTORE_PAUSE, RESTORE_SHUTDOWN };

struct restore_tablespace {
    const char *old_location; /* as in the source, or its oid */
    const char *new_location; /* absolute */
};

/* A directory that the restore is about to fill, held open. */
struct restore_target_dir {
    const char *path;
    int fd;
};

/* Written by the restore, read by any thread. */
struct restore_progress {
    _Atomic(const char *) phase; /* static text */
    atomic_uint_fast64_t done_bytes;
    atomic_uint_fast64_t total_bytes;
    struct vault_extract_progress data; /* counts while phase is "restoring" */
};

struct restore_options {
    const char *source_prefix; /* tenants/<realm>/sources/<id> */
    const char *cluster;       /* name, for messages and the written configuration's comments */
    const char *dir; /* absolute; made when absent, its parent must exist. Nothing outside of it and
                        of the tablespaces is written, whatever the vault or a neighbour does */
    const char *const *closed; /* directories that nothing is restored into, up to NULL: those of an
                                  installation. One that is not there closes nothing. NULL: none */
    struct restore_target target;
    const char *backup_id; /* NULL: chosen by the target */
    /* Where tablespaces go: as said one by one, else below tablespaces_into, else where they were
     * recorded, else nowhere: the source does not choose directories of this machine. */
    const struct restore_tablespace *tablespaces;
    size_t tablespaces_len;
    const char *tablespaces_into; /* absolute, outside of dir; each goes to its oid. NULL: none */
    bool tablespaces_as_recorded;
    /* Called once, on the thread of the restore, when the directories are made and nothing is in
     * them yet: from then on nothing outside of them needs to be written. NULL: nothing. */
    struct hf_status (*confine)(void *arg, struct hf_ctx *ctx,
                                const struct restore_target_dir *dirs, size_t len);
    void *confine_arg;
    enum restore_action action;
    bool has_owner; /* give everything to uid:gid (root only); else as root the owner of dir, when
                       it is there and not root's, else of its parent */
    uid_t owner_uid;
    gid_t owner_gid;
    size_t threads;       /* 0: cores */
    uint64_t expect_head; /* pinned journal head, 0: none */
    const uint8_t *expect_hash;
    struct restore_progress *progress; /* may be NULL */
};

struct restore_result {
    const char *backup_id;
    uint32_t timeline;
    uint64_t resolved_lsn;    /* end of what will be replayed */
    int64_t resolved_time_us; /* last commit that will be replayed, 0: none */
    int64_t proven_time_us;   /* server time up to which the WAL is proven complete, 0: unknown */
    uint64_t data_bytes;
    uint64_t wal_bytes;
    uint64_t files;
    uint32_t server_version;
    uid_t uid; /* owner of what was written */
    gid_t gid;
    const char *dir; /* of the options, without links */
    const char *const
        *made; /* highest directories that are the restore's own, all of it is below */
    size_t made_len;
    const char *const *notes; /* sentences for the person: what was cleared, written, capped */
    size_t notes_len;
};

/* Errors (all before the first byte of data is written, but I/O):
 *  NOT_FOUND reason NO_POINT / UNKNOWN_BACKUP
 *  FAILED_PRECONDITION reasons DIRECTORY_NOT_EMPTY, SERVER_RUNNING (postmaster.pid of a live
 *    process), NO_SPACE (of one file system), TABLESPACES_NOT_PLACED (nobody said where; oids,
 *    locations and bytes), TABLESPACE_NOT_MAPPED (its place is not empty), UNSAFE_PATH (a link on
 *    the way that another user could turn), TARGET_IN_INSTALLATION (a closed directory is above),
 *    TARGET_MOVED (after the last byte: the directory is not at its path any more),
 *    TIMELINE_UNREACHABLE, WRONG_KEY, NEWER_FORMAT
 *  OUT_OF_RANGE reasons TARGET_BEFORE_BACKUP (names the earliest moment), TARGET_AFTER_WAL (names
 *    the last proven moment), TARGET_NOT_FOUND (xid or name is not in the WAL), WAL_GAP
 *  INVALID_ARGUMENT a name that no restore point can have; directories that lie in each other
 *  DATA_LOSS what the vault holds is damaged, naming the object, or the history of a timeline is
 *    missing while its WAL is there; a backup that says what no server has: links, names that lead
 *    out or come twice, more bytes or files than its root counts
 * A failure leaves the directory as it was found when nothing was written, else with
 * holdfast.incomplete. Threads: one restore per call; makes its own workers. */
struct hf_status restore_run(struct hf_ctx *ctx, struct objstore *store,
                             const struct vault_keyring *keyring,
                             const struct restore_options *options,
                             struct restore_result *ret_result) HF_MUST_USE;

/* Parse "0/16B3748", a time with offset, and so on into a target; INVALID_ARGUMENT. Pure. */
struct hf_status restore_target_time(struct hf_arena *arena, const char *text,
                                     struct restore_target *ret_target) HF_MUST_USE;
struct hf_status restore_target_lsn(struct hf_arena *arena, const char *text,
                                    struct restore_target *ret_target) HF_MUST_USE;
struct hf_status restore_target_xid(struct hf_arena *arena, const char *text,
                                    struct restore_target *ret_target) HF_MUST_USE;
/* "latest", "time 2026-…Z", "lsn 0/…": for people and for Restore.target. */
char *restore_target_text(struct hf_arena *arena, const struct restore_target *target);

#endif
