/* The processes of an installation: found, started, restarted, stopped. One thread. */
#ifndef HF_CLI_SUPERVISE_CHILDREN_H
#define HF_CLI_SUPERVISE_CHILDREN_H

#include "cli/processes.h"
#include "cli/supervise/logs.h"
#include "cli/supervise/place.h"

enum child_id { CHILD_POSTGRES, CHILD_REDIS, CHILD_BACKUP, CHILDREN };

struct child {
    pid_t pid;    /* 0: not running */
    int log;      /* the file it writes to; -1: not running, or unknown */
    bool is_ours; /* started by this process: it can be reaped */
    struct process_began began;
    int64_t started_us; /* monotonic */
    int64_t next_us;    /* monotonic; not started before */
    int64_t pause_us;   /* doubles up to ten seconds */
    const char *how;    /* it ended; in the arena of the step that saw it */
};

struct children {
    const struct place *place;
    struct child list[CHILDREN];
};

const char *children_name(enum child_id id);
/* The file that it runs; NULL: place does not know it. */
const char *children_program(struct hf_arena *arena, const struct place *place, enum child_id id);

/* Take over what runs already for this directory: a supervisor that was killed leaves its children.
 */
void children_adopt(struct hf_ctx *ctx, const struct place *place, struct children *children);
/* Reap, start what is missing and due. True when a pid changed. Failures are logged. */
bool children_tend(struct hf_ctx *ctx, struct children *children);
/* Stop all: the service first, PostgreSQL last; each politely, then by force. CANCELLED: something
 * may still run; DEADLINE_EXCEEDED: not even force helped. */
struct hf_status children_stop(struct hf_ctx *ctx, struct children *children) HF_MUST_USE;
/* run/processes.json, the supervisor included (NULL: none). */
struct hf_status children_save(struct hf_ctx *ctx, const struct children *children,
                               const struct process_entry *supervisor) HF_MUST_USE;
/* The logs that they write to, whatever these are called by now. */
void children_tend_logs(struct hf_ctx *ctx, const struct children *children,
                        const struct logs_limits *limits);
/* Parent and real user of a process; false when it is gone. */
bool children_read_kin(struct hf_arena *arena, pid_t pid, pid_t *ret_parent, uid_t *ret_uid);
/* The first process of /proc that is wanted; 0: none. The arena is the match's own. */
typedef bool (*children_match)(struct hf_arena *arena, pid_t pid, const void *arg);
pid_t children_find(children_match is_wanted, const void *arg);
/* The schema that identities need, and the command line's own; repeatable. UNAVAILABLE while
 * PostgreSQL starts. */
struct hf_status children_bootstrap(struct hf_ctx *ctx, const struct place *place) HF_MUST_USE;

#endif
