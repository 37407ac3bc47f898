/* Ctrl-C and SIGTERM as a cancel flag: signals are blocked everywhere and taken by one thread, so
 * no handler runs in the middle of anything. The second signal ends the process at once. */
#ifndef HF_CLI_INTERRUPT_H
#define HF_CLI_INTERRUPT_H

#include "base/ctx.h"

struct interrupt;

/* Before any other thread is started. Without a thread to be had the process ends, and says so. */
struct interrupt *interrupt_start(struct hf_cancel *cancel);
void interrupt_stop(struct interrupt *interrupt);

#endif
