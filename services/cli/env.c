/* Descriptors and variables. The surprise: unsetenv moves what follows, so the walk starts again.
 */
#include "cli/env.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define NAME_MAX_BYTES 128

void env_fill_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR); /* takes the lowest free number */

    while (fd >= 0 && fd <= STDERR_FILENO) {
        fd = open("/dev/null", O_RDWR);
    }
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

/* The first variable of libpq, its name in ret_name. False: none is left. */
static bool find_libpq(char ret_name[NAME_MAX_BYTES])
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        size_t len = strcspn(*entry, "=");

        if (!hf_has_prefix(*entry, "PG") || len >= NAME_MAX_BYTES ||
            hf_has_prefix(*entry, "PGPASSWORD=") || hf_has_prefix(*entry, "PGPASSFILE=")) {
            continue;
        }
        memcpy(ret_name, *entry, len);
        ret_name[len] = '\0';
        return true;
    }
    return false;
}

void env_forget_libpq(void)
{
    char name[NAME_MAX_BYTES];

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread exists yet */
    while (find_libpq(name) && unsetenv(name) == 0) {
    }
}

void env_clear(void)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        explicit_bzero(*entry, strlen(*entry)); /* /proc/PID/environ shows these very bytes */
    }
    (void)clearenv(); /* NOLINT(concurrency-mt-unsafe): nothing here reads it any more */
}
