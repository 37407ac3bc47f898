/* Durability of a restore: the order of writes, flushes and names, and what a failed flush means.
 * The linker puts the wrappers below in the place of the system calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "tests/unit/libs/restore/whole_fixture.h"

/* One letter per call below the restored directory: w write, f file flushed, d directory flushed, s
 * file system flushed, r rename, u unlink. */
static char calls[4096];
static atomic_size_t calls_len; /* threads write WAL and data */
static const char *watched;     /* the directory; NULL: nothing is noted */
static char fail_at;            /* letter of the call that fails, 0: none */
static atomic_int fail_after;   /* so many of them work before */
static int fail_with;           /* errno */
static const char *release;     /* what uname says, NULL: the truth */

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __real_uname(struct utsname *name);
int __wrap_uname(struct utsname *name);

/* Is the file behind fd the watched directory, below it, or its parent? */
static bool is_watched(int fd)
{
    char link[64];
    char path[512] = {0};

    if (watched == NULL) {
        return false;
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);

    return len > 0 && (strncmp(path, watched, strlen(watched)) == 0 ||
                       strncmp(watched, path, (size_t)len) == 0);
}

/* True: this call must fail. */
static bool note(char call)
{
    size_t at = atomic_fetch_add(&calls_len, 1);
    bool fails = call == fail_at && atomic_fetch_sub(&fail_after, 1) <= 0;

    assert_true(at + 1 < sizeof(calls));
    calls[at] = call;
    errno = fails ? fail_with : errno;
    return fails;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    return is_watched(fd) && note('w') ? -1 : __real_write(fd, bytes, len);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return is_watched(fd) && note('w') ? -1 : __real_pwrite(fd, bytes, len, offset);
}

int __wrap_fsync(int fd)
{
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    return is_watched(fd) && note(S_ISDIR(info.st_mode) ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_syncfs(int fd)
{
    return is_watched(fd) && note('s') ? -1 : __real_syncfs(fd);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return is_watched(to_dir) && note('r') ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

/* Only what goes: a name that is made new is cleared first, and nothing is there. */
int __wrap_unlinkat(int dir, const char *path, int flags)
{
    struct stat info;
    bool is_there = fstatat(dir, path, &info, AT_SYMLINK_NOFOLLOW) == 0;

    return is_there && strcmp(path, RESTORE_INCOMPLETE) == 0 && is_watched(dir) && note('u')
               ? -1
               : __real_unlinkat(dir, path, flags);
}

int __wrap_uname(struct utsname *name)
{
    int result = __real_uname(name);

    if (release != NULL) {
        (void)snprintf(name->release, sizeof(name->release), "%s", release);
    }
    return result;
}

static void watch(const struct whole *w)
{
    memset(calls, 0, sizeof(calls));
    calls_len = 0;
    fail_at = 0;
    fail_after = 0;
    fail_with = EIO;
    release = NULL;
    watched = w->dir;
}

static struct hf_status run_watched(struct whole *w)
{
    struct hf_status status = whole_run(w);

    watched = NULL;
    return status;
}

static void test_sync__marks_first_and_names_pg_control_last(void **state)
{
    struct whole w;

    whole_make(&w, *state, NULL);
    watch(&w);
    assert_ok(run_watched(&w));
    /* The directory's name, the mark, the mark's name. */
    assert_memory_equal(calls, "dwfd", 4);
    /* All data; pg_control's name and its flush; then the mark goes, with its own. */
    assert_string_equal(calls + strlen(calls) - 6, "srdudd");
    assert_int_equal(strspn(calls + 4, "wfd"), strlen(calls) - 10);
    whole_assert_restored(&w);
    whole_done(&w);
}

static void test_sync__syncs_each_tablespace(void **state)
{
    struct fixture *f = *state;
    struct whole w;

    whole_make(&w, f, hf_printf(f->ctx.arena, "%s/restored-space", f->dir));
    w.options.tablespaces_as_recorded = true;
    watch(&w); /* the tablespace's name begins with the directory's */
    assert_ok(run_watched(&w));
    assert_string_equal(calls + strlen(calls) - 7, "ssrdudd");
    whole_done(&w);
}

/* Whatever fails: the restore fails, says what, leaves the mark, and pg_control has no name unless
 * it was the mark's own removal that failed. */
static void test_sync__every_failure_is_fatal(void **state)
{
    static const struct {
        char call;
        int after;
        bool has_mark;
        bool has_control;
    } cases[] = {
        {'d', 0, false, false}, {'f', 0, true, false}, {'d', 1, true, false},
        {'f', 1, true, false},  {'f', 3, true, false}, {'w', 5, true, false},
        {'s', 0, true, false},  {'r', 0, true, false}, {'u', 0, true, true},
    };
    static const int errors[] = {EIO, ENOSPC, EDQUOT};
    struct whole w;

    whole_make(&w, *state, NULL);
    for (size_t i = 0; i < HF_LEN(cases) * HF_LEN(errors); i++) {
        size_t k = i % HF_LEN(cases);

        watch(&w);
        fail_at = cases[k].call;
        fail_after = cases[k].after;
        fail_with = errors[i / HF_LEN(cases)];
        struct hf_status status = run_watched(&w);

        assert_false(hf_is_ok(status));
        assert_int_equal(status.code, fail_with == EIO ? HF_INTERNAL : HF_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(status.message, "must be removed"));
        assert_non_null(strstr(status.message, w.h.f->dir));
        assert_int_equal(hf_path_exists(whole_path(&w, RESTORE_INCOMPLETE)), cases[k].has_mark);
        assert_int_equal(hf_path_exists(whole_path(&w, "global/pg_control")), cases[k].has_control);
        assert_ok(hf_remove_tree(w.h.f->ctx.arena, w.dir));
    }
    assert_ok(whole_run(&w)); /* and can be tried again */
    whole_assert_restored(&w);
    whole_done(&w);
}

/* The last two flushes, of names that are gone or there already. */
static void test_sync__the_last_flushes_are_fatal_too(void **state)
{
    struct whole w;
    size_t dirs = 0;

    whole_make(&w, *state, NULL);
    watch(&w);
    assert_ok(run_watched(&w));
    for (const char *at = calls; *at != '\0'; at++) {
        dirs += *at == 'd';
    }
    for (size_t back = 1; back <= 3; back++) {
        assert_ok(hf_remove_tree(w.h.f->ctx.arena, w.dir));
        watch(&w);
        fail_at = 'd';
        fail_after = (int)(dirs - back);
        assert_code(run_watched(&w), HF_INTERNAL);
    }
    whole_done(&w);
}

/* Before Linux 5.8 syncfs hides failed writes: each file and directory is flushed by itself. */
static void test_sync__an_old_kernel_gets_every_file_flushed(void **state)
{
    static const struct {
        const char *release;
        bool is_old;
    } cases[] = {{"5.7.19", true},  {"4.18.0-553.el8", true},  {"5.8.0", false},
                 {"5.10.1", false}, {"6.1.0-18-amd64", false}, {"10.0", false},
                 {"nonsense", true}};
    struct whole w;

    whole_make(&w, *state, NULL);
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        watch(&w);
        release = cases[i].release;
        assert_ok(run_watched(&w));
        const char *after = strchr(calls, 's');
        size_t files = 0;
        size_t dirs = 0;

        assert_non_null(after);
        for (; *after != 'r'; after++) {
            files += *after == 'f';
            dirs += *after == 'd';
        }
        /* data, configuration, labels, manifest, signal, WAL, mark; all directories */
        assert_int_equal(files > 10, cases[i].is_old);
        assert_int_equal(dirs, cases[i].is_old ? 7 : 0);
        assert_ok(hf_remove_tree(w.h.f->ctx.arena, w.dir));
    }
    watch(&w);
    release = "4.19";
    fail_at = 'd';
    fail_after = 6; /* in the walk */
    assert_code(run_watched(&w), HF_INTERNAL);
    assert_true(hf_path_exists(whole_path(&w, RESTORE_INCOMPLETE)));
    assert_false(hf_path_exists(whole_path(&w, "global/pg_control")));
    whole_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_sync__marks_first_and_names_pg_control_last),
        fixture_test(test_sync__syncs_each_tablespace),
        fixture_test(test_sync__every_failure_is_fatal),
        fixture_test(test_sync__the_last_flushes_are_fatal_too),
        fixture_test(test_sync__an_old_kernel_gets_every_file_flushed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
