/* The files below log/ stay within a bound.
 *
 * Each server writes to its own file, opened for appending, so that it neither waits for anybody
 * nor loses its log with the supervisor. The supervisor looks at the files' sizes; one that is too
 * long is copied to NAME.1 and emptied. What a server writes between the copy and the emptying is
 * lost: this happens only to a file that just grew by file_bytes.
 */
#ifndef HF_CLI_SUPERVISE_LOGS_H
#define HF_CLI_SUPERVISE_LOGS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"

struct logs_limits {
    int64_t file_bytes;
    int files;
};

/* Look once at all NAME.log in dir. Failures are logged: a log never stops the servers. On a full
 * disk the older text is given up, because the room is what is missing.
 * Repeat  every 2 s: a file has at most file_bytes and what comes in that time. */
void logs_tend(struct hf_ctx *ctx, const char *dir, const struct logs_limits *limits);
/* The same for the file that a server writes to, whatever it was renamed to meanwhile (by
 * logrotate): log is of logs_open, name the one that it began with. Nothing for -1. */
void logs_tend_open(struct hf_ctx *ctx, const char *dir, const char *name, int log,
                    const struct logs_limits *limits);
/* The file that process pid writes to, else (it hides its descriptors, or pid is 0) the one with
 * this mark in dir, whatever its name is; without a mark ("") the one of this name. -1: there is
 * none. To be closed. */
int logs_open(struct hf_arena *arena, const char *dir, const char *name, pid_t pid,
              const char *mark);
/* By which logs_open finds it again; "" for -1. */
const char *logs_mark(struct hf_arena *arena, int log);
/* The last bytes of a log, "" when it cannot be read. */
const char *logs_tail(struct hf_arena *arena, const char *path, size_t max_bytes);

#endif
