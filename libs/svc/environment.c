/* A list of what stays: of what libraries obey nobody has a whole list. */
#include "svc/environment.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/str.h"

static const char *const kept[] = {
    "PATH=",         "TZ=",           "LANG=",       "ASAN_OPTIONS=",      "UBSAN_OPTIONS=",
    "LSAN_OPTIONS=", "TSAN_OPTIONS=", "GCOV_PREFIX", "LLVM_PROFILE_FILE=",
};

static bool is_kept(const char *variable)
{
    for (size_t i = 0; i < HF_LEN(kept); i++) {
        if (hf_has_prefix(variable, kept[i])) {
            return true;
        }
    }
    return false;
}

void svc_environment_clear(void)
{
    char **to = environ;

    for (char **from = environ; from != NULL && *from != NULL; from++) {
        if (is_kept(*from)) {
            *to++ = *from;
        }
    }
    if (to != NULL) {
        *to = NULL;
    }
}
