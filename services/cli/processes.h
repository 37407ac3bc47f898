/* What the supervisor runs, as it writes it to run/processes.json for everybody else to read. */
#ifndef HF_CLI_PROCESSES_H
#define HF_CLI_PROCESSES_H

#include "base/ctx.h"

#define PROCESS_MARK_MAX 80

/* What a process began with, to be compared with what is there now (supervise/began.h). "" is not
 * known: an earlier release started it. */
struct process_began {
    char log[PROCESS_MARK_MAX];      /* the file that it writes to, whatever its name is by now */
    char program[PROCESS_MARK_MAX];  /* the file that it runs */
    char settings[PROCESS_MARK_MAX]; /* overrides.yaml, of those that read it */
};

struct process_entry {
    const char *name; /* "supervisor", "postgres", "redis", "backup" */
    int64_t pid;
    struct process_began began;
    bool is_alive;  /* now: the very process that was saved, and no zombie */
    bool is_hidden; /* alive, and /proc does not show it to us (hidepid) */
};

/* Entries in the arena; none when the file is not there. */
struct hf_status processes_load(struct hf_ctx *ctx, const char *dir,
                                const struct process_entry **ret_entries,
                                size_t *ret_len) HF_MUST_USE;
/* The entry of that name, or NULL. */
const struct process_entry *processes_find(const struct process_entry *entries, size_t len,
                                           const char *name);
/* Whether the list is there: cleaners of old files take it away. */
bool processes_saved(struct hf_ctx *ctx, const char *dir);
/* Atomic replacement. */
struct hf_status processes_save(struct hf_ctx *ctx, const char *dir,
                                const struct process_entry *entries, size_t len) HF_MUST_USE;
/* A process of that pid that is no zombie. */
bool processes_is_alive(int64_t pid);

#endif
