/* Inside obs only: figures of this process under the names every Prometheus client uses. */
#ifndef HF_OBS_PROCESS_H
#define HF_OBS_PROCESS_H

#include <stdint.h>

#include "base/buf.h"

/* Append them; start_us is when the process began to count. A figure the kernel does not tell is
 * left out. */
void obs_process_write(struct hf_buf *buf, int64_t start_us);

#endif
