/* The end of a process with a bug: one log line, then SIGABRT. A restart is safe because every
 * effect is idempotent. */
#include "base/check.h"

#include <stdlib.h>

#include "base/log.h"

_Noreturn void hf_check_failed(const char *file, int line, const char *claim)
{
    hf_error(NULL, HF_EVENT("check.failed"), HF_TEXT("file", file), HF_INT("line", line),
             HF_TEXT("claim", claim));
    abort();
}
