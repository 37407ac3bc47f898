/* Memory of keys: what the kernel says of it, and what happens at its edges. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/secret.h"
#include "tests/unit/unit.h"

/* The flags that /proc/self/smaps has for the mapping of address ("VmFlags: rd wr … lo … dd"). */
static void flags_of(const void *address, char *ret_flags, size_t room)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool is_inside = false;

    assert_non_null(maps);
    ret_flags[0] = '\0';
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *end = NULL;
        uintptr_t first = strtoull(line, &end, 16);
        if (*end == '-') {
            uintptr_t last = strtoull(end + 1, NULL, 16);
            is_inside = (uintptr_t)address >= first && (uintptr_t)address < last;
        } else if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(ret_flags, room, "%s", line);
        }
    }
    (void)fclose(maps);
}

static void test_secret__is_locked_and_in_no_core(void **state)
{
    uint8_t *secret = hf_secret_alloc(5000);
    char flags[512];
    (void)state;

    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(secret[i], 0);
    }
    memset(secret, 0xaa, 5000);
    flags_of(secret, flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd"));
    if (!HF_HAS_ASAN) { /* whose mlock does nothing and says that it did */
        assert_int_equal(strstr(flags, " lo") != NULL, hf_secret_is_locked(secret));
    }
    hf_secret_free(secret);
    hf_secret_free(NULL);
}

static void test_secret__goes_on_beyond_the_limit(void **state)
{
    int status = 0;
    pid_t pid = fork();
    (void)state;

    if (pid == 0) {
        const struct rlimit none = {0, 0};
        HF_CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
        HF_CHECK(geteuid() != 0 || setuid(65534) == 0); /* root may lock without limit */
        uint8_t *secret = hf_secret_alloc(32);
        secret[31] = 1;
        _exit(hf_secret_is_locked(secret) && !HF_HAS_ASAN ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Reading beyond either edge is a fault, not the neighbour's bytes. */
static void test_secret__has_guards(void **state)
{
    static const ptrdiff_t offsets[] = {-4096, 4096};
    (void)state;

    for (size_t i = 0; i < HF_LEN(offsets); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            const volatile uint8_t *secret = hf_secret_alloc(32);
            (void)sigaction(SIGSEGV, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
            (void)secret[offsets[i]];
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_not_equal(status, 0); /* a signal, or a sanitizer's report of it */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret__is_locked_and_in_no_core),
        cmocka_unit_test(test_secret__goes_on_beyond_the_limit),
        cmocka_unit_test(test_secret__has_guards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
