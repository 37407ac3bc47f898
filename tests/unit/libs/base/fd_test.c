/* Files and directories on a real file system. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

struct place {
    struct hf_arena *arena;
    char dir[64];
};

static int set_up(void **state)
{
    struct place *place = hf_heap_alloc(sizeof(*place));

    place->arena = hf_arena_new(1 << 20);
    memcpy(place->dir, "/tmp/hf-fd-test-XXXXXX", 23);
    *state = place;
    return mkdtemp(place->dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    struct hf_status status = hf_remove_tree(place->arena, place->dir);

    hf_arena_free(place->arena);
    hf_heap_free(place);
    return hf_is_ok(status) ? 0 : -1;
}

static void assert_content(struct place *place, const char *path, const char *text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 4096);
    assert_true(hf_is_ok(hf_read_file(place->arena, path, &buf)));
    assert_string_equal(hf_buf_text(&buf), text);
}

static void test_replace_file__replaces_with_exact_mode(void **state)
{
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "a");
    struct stat info;

    assert_true(hf_is_ok(hf_replace_file(place->arena, path, "one", 3, 0600)));
    assert_content(place, path, "one");
    assert_true(hf_is_ok(hf_replace_file(place->arena, path, "two!", 4, 0666)));
    assert_content(place, path, "two!");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666);
}

static void test_create_file__never_overwrites(void **state)
{
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "a");

    assert_true(hf_is_ok(hf_create_file(place->arena, path, "one", 3, 0600)));
    assert_int_equal(hf_create_file(place->arena, path, "two", 3, 0600).code, HF_ALREADY_EXISTS);
    assert_content(place, path, "one");
    /* No temporary file is left, else the directory could not be removed. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(place->dir), 0);
}

static void test_read_file__has_a_ceiling_and_names_the_path(void **state)
{
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "a");
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 4);
    struct hf_status status = hf_read_file(place->arena, path, &buf);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_non_null(strstr(status.message, path));
    assert_true(hf_is_ok(hf_create_file(place->arena, path, "1234", 4, 0600)));
    assert_true(hf_is_ok(hf_read_file(place->arena, path, &buf)));
    assert_int_equal(buf.len, 4);
    assert_true(hf_is_ok(hf_replace_file(place->arena, path, "12345", 5, 0600)));
    hf_buf_clear(&buf);
    assert_int_equal(hf_read_file(place->arena, path, &buf).code, HF_RESOURCE_EXHAUSTED);
}

static void test_pread_pwrite__move_all_bytes(void **state)
{
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "a");
    HF_CLEANUP(hf_close) int fd = open(path, O_RDWR | O_CREAT, 0600);
    char bytes[16] = {0};
    size_t len = 0;

    assert_true(hf_is_ok(hf_pwrite_all(place->arena, fd, "tail", 4, 4, path)));
    assert_true(hf_is_ok(hf_write_all(place->arena, fd, "head", 4, path)));
    assert_true(hf_is_ok(hf_pread_full(place->arena, fd, bytes, 16, 0, path, &len)));
    assert_int_equal(len, 8);
    assert_memory_equal(bytes, "headtail", 8);
    assert_true(hf_is_ok(hf_pread_full(place->arena, fd, bytes, 16, 8, path, &len)));
    assert_int_equal(len, 0);
    assert_int_equal(hf_write_all(place->arena, -1, "x", 1, path).code, HF_INTERNAL);
}

static void test_read_trusted__judges_owner_mode_and_kind(void **state)
{
    static const struct {
        mode_t mode;
        bool is_foreign;
        enum hf_code ours;
        enum hf_code secret;
    } rows[] = {
        {0600, false, HF_OK, HF_OK},
        {0400, false, HF_OK, HF_OK},
        {0644, false, HF_OK, HF_FAILED_PRECONDITION},
        {0640, false, HF_OK, HF_FAILED_PRECONDITION},
        {0620, false, HF_FAILED_PRECONDITION, HF_FAILED_PRECONDITION},
        {0602, false, HF_FAILED_PRECONDITION, HF_FAILED_PRECONDITION},
        {0600, true, HF_FAILED_PRECONDITION, HF_FAILED_PRECONDITION},
    };
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "f");
    const char *link = hf_path_join(place->arena, place->dir, "link");

    assert_true(hf_is_ok(hf_create_file(place->arena, path, "x", 1, 0600)));
    assert_int_equal(symlink(path, link), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

        if (rows[i].is_foreign && chown(path, 12345, (gid_t)-1) != 0) {
            continue; /* only root gives files away */
        }
        hf_buf_init(&buf, 64);
        assert_int_equal(chmod(path, rows[i].mode), 0);
        assert_int_equal(hf_read_trusted(place->arena, path, HF_TRUST_OURS, &buf).code,
                         rows[i].ours);
        assert_int_equal(hf_read_trusted(place->arena, link, HF_TRUST_SECRET, &buf).code,
                         rows[i].secret);
    }
}

static void test_read_trusted__does_not_wait_for_a_fifo(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "fifo");

    hf_buf_init(&buf, 64);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(hf_read_trusted(place->arena, path, HF_TRUST_OURS, &buf).code,
                     HF_FAILED_PRECONDITION);
}

static void test_make_dirs__makes_all_levels_once(void **state)
{
    struct place *place = *state;
    const char *path = hf_path_join(place->arena, place->dir, "x/y/z");
    const char *file = hf_path_join(place->arena, path, "f");

    assert_true(hf_is_ok(hf_make_dirs(place->arena, path, 0700)));
    assert_true(hf_is_ok(hf_make_dirs(place->arena, path, 0700)));
    assert_true(hf_is_ok(hf_create_file(place->arena, file, "", 0, 0600)));
    assert_int_equal(hf_make_dirs(place->arena, file, 0700).code, HF_ALREADY_EXISTS);
    assert_true(hf_path_exists(file));
}

static void test_path_join__has_one_slash(void **state)
{
    struct place *place = *state;

    assert_string_equal(hf_path_join(place->arena, "a", "b"), "a/b");
    assert_string_equal(hf_path_join(place->arena, "a//", "/b"), "a/b");
    assert_string_equal(hf_path_join(place->arena, "/", "b"), "/b");
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static enum hf_code read_below(struct place *place, const char *name)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 16);
    return hf_read_below(place->arena, place->dir, name, &buf).code;
}

/* Of each kind that a hostile owner may put in the place of a file; the FIFO must not block. */
static void test_read_below__takes_ordinary_files_only(void **state)
{
    struct place *place = *state;
    struct hf_arena *arena = place->arena;
    const char *file = hf_path_join(arena, place->dir, "file");

    assert_true(hf_is_ok(hf_replace_file(arena, file, "text", 4, 0600)));
    assert_int_equal(read_below(place, "file"), HF_OK);
    assert_int_equal(read_below(place, "absent"), HF_NOT_FOUND);
    assert_int_equal(symlink(file, hf_path_join(arena, place->dir, "link")), 0);
    assert_int_equal(read_below(place, "link"), HF_FAILED_PRECONDITION);
    assert_int_equal(symlink("/etc", hf_path_join(arena, place->dir, "etc")), 0);
    assert_int_equal(read_below(place, "etc/hostname"), HF_FAILED_PRECONDITION);
    assert_int_equal(read_below(place, "../hostname"), HF_FAILED_PRECONDITION);
    assert_int_equal(mkfifo(hf_path_join(arena, place->dir, "fifo"), 0600), 0);
    assert_int_equal(read_below(place, "fifo"), HF_FAILED_PRECONDITION);
    assert_true(hf_is_ok(hf_make_dirs(arena, hf_path_join(arena, place->dir, "sub"), 0700)));
    assert_int_equal(read_below(place, "sub"), HF_FAILED_PRECONDITION);
    assert_true(hf_is_ok(hf_replace_file(arena, hf_path_join(arena, place->dir, "large"),
                                         "seventeen letters", 17, 0600)));
    assert_int_equal(read_below(place, "large"), HF_RESOURCE_EXHAUSTED);
    assert_int_equal(link(file, hf_path_join(arena, place->dir, "second")), 0);
    assert_int_equal(read_below(place, "file"), HF_FAILED_PRECONDITION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_replace_file__replaces_with_exact_mode),
        WITH_DIR(test_read_below__takes_ordinary_files_only),
        WITH_DIR(test_create_file__never_overwrites),
        WITH_DIR(test_read_file__has_a_ceiling_and_names_the_path),
        WITH_DIR(test_pread_pwrite__move_all_bytes),
        WITH_DIR(test_read_trusted__judges_owner_mode_and_kind),
        WITH_DIR(test_read_trusted__does_not_wait_for_a_fifo),
        WITH_DIR(test_make_dirs__makes_all_levels_once),
        WITH_DIR(test_path_join__has_one_slash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
