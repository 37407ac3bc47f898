/* A directory of one process, below one that processes of an installation share: what it writes
 * there ends with it. One that was killed leaves its own behind, which the next to start removes:
 * each holds a lock on its own, and only what nobody holds is anybody's to empty. */
#ifndef HF_SVC_RUN_DIR_H
#define HF_SVC_RUN_DIR_H

#include "base/arena.h"
#include "base/status.h"

struct svc_run_dir;

/* Make it below parent, which is made, too (0700), and empty what ended processes left there. Where
 * the file system knows no locks nothing is emptied; what cannot be removed is logged and stays.
 * Errors   those of making directories */
struct hf_status svc_run_dir_open(struct hf_arena *arena, const char *parent,
                                  struct svc_run_dir **ret_dir) HF_MUST_USE;
/* Lives until free. */
const char *svc_run_dir_path(const struct svc_run_dir *dir);
/* With all that is in it. Accepts NULL. */
void svc_run_dir_free(struct svc_run_dir *dir);

#endif
