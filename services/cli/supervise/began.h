/* What a process began with, and whether that is what is there now: a program that was installed
 * and settings that were written meanwhile do nothing until it is started again. */
#ifndef HF_CLI_SUPERVISE_BEGAN_H
#define HF_CLI_SUPERVISE_BEGAN_H

#include "cli/processes.h"
#include "cli/supervise/children.h"

/* Looked at before the start: what changes meanwhile is told once too often, never missed. */
struct process_began began_look(struct hf_ctx *ctx, const struct place *place, enum child_id id);
/* And its log, when that is open. */
void began_set_log(struct hf_arena *arena, int log, struct process_began *began);
/* The same of this process, a supervisor. */
struct process_began began_look_at_self(struct hf_ctx *ctx, const struct place *place);

/* Of a process that lives: NULL, or what is newer than what it began with, as a sentence's end. */
const char *began_newer(struct hf_ctx *ctx, const struct place *place,
                        const struct process_entry *entry);

#endif
