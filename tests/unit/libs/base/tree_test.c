/* Removing trees: everything below, nothing beside. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static void test_remove_tree__removes_all_and_follows_no_link(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    char dir[] = "/tmp/hf-tree-test-XXXXXX";
    (void)state;

    assert_non_null(mkdtemp(dir));
    const char *keep = hf_path_join(arena, dir, "keep");
    const char *precious = hf_path_join(arena, keep, "precious");
    const char *gone = hf_path_join(arena, dir, "gone");
    assert_true(hf_is_ok(hf_make_dirs(arena, hf_path_join(arena, gone, "a/b/c"), 0700)));
    assert_true(hf_is_ok(hf_make_dirs(arena, keep, 0700)));
    assert_true(hf_is_ok(hf_create_file(arena, precious, "x", 1, 0600)));
    assert_true(hf_is_ok(hf_create_file(arena, hf_path_join(arena, gone, "a/b/f"), "x", 1, 0600)));
    assert_int_equal(symlink(keep, hf_path_join(arena, gone, "a/link")), 0);

    assert_true(hf_is_ok(hf_remove_tree(arena, gone)));
    assert_false(hf_path_exists(gone));
    assert_true(hf_path_exists(precious));
    assert_true(hf_is_ok(hf_remove_tree(arena, gone)));

    assert_int_equal(symlink(keep, gone), 0);
    assert_true(hf_is_ok(hf_remove_tree(arena, gone)));
    assert_true(hf_path_exists(precious));
    assert_true(hf_is_ok(hf_remove_tree(arena, dir)));
    assert_false(hf_path_exists(dir));
}

static void test_remove_tree__refuses_endless_depth_and_removes_the_rest(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    char dir[] = "/tmp/hf-tree-test-XXXXXX";
    char *deep = NULL;
    (void)state;

    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 8; i++) { /* before it and behind it in the list */
        const char *key = hf_printf(arena, "%s/keys%d/key", dir, i);

        assert_true(hf_is_ok(hf_make_dirs(arena, hf_path_parent(arena, key), 0700)));
        assert_true(hf_is_ok(hf_create_file(arena, key, "x", 1, 0600)));
    }
    deep = dir;
    for (int i = 0; i < 70; i++) {
        deep = hf_path_join(arena, deep, "d");
        assert_int_equal(mkdir(deep, 0700), 0);
    }
    assert_int_equal(hf_remove_tree(arena, dir).code, HF_RESOURCE_EXHAUSTED);
    for (int i = 0; i < 8; i++) {
        assert_false(hf_path_exists(hf_printf(arena, "%s/keys%d", dir, i)));
    }
    assert_true(hf_is_ok(hf_remove_tree(arena, hf_printf(arena, "%s/d/d/d/d/d/d/d/d/d/d", dir))));
    assert_true(hf_is_ok(hf_remove_tree(arena, dir)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remove_tree__removes_all_and_follows_no_link),
        cmocka_unit_test(test_remove_tree__refuses_endless_depth_and_removes_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
