/* Names that a server or a vault says. */
#include <string.h>

#include "base/check.h"
#include "pgformat/path.h"
#include "tests/unit/unit.h"

static void test_path__judges_names(void **state)
{
    static const char *const sane[] = {"a",   "base/1/1259", "a..b/..c", ".hidden",        "x/...",
                                       "a b", "\xc3\xa9",    "\xff",     "pg_tblspc/16400"};
    static const char *const bad[] = {"",       ".",    "..",     "/a",  "a/",   "a//b",
                                      "a/./b",  "a/..", "../a",   "./a", "a\nb", "a\x1b[2J",
                                      "a/\x7f", "\t",   "a/b/..", "//",  "a/.",  "/"};

    (void)state;
    for (size_t i = 0; i < HF_LEN(sane); i++) {
        assert_true(pgf_path_is_sane(sane[i]));
    }
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        if (pgf_path_is_sane(bad[i])) {
            fail_msg("\"%s\" passed", bad[i]);
        }
    }
}

static void test_path__has_bounds(void **state)
{
    char text[PGF_PATH_MAX + 2];

    (void)state;
    memset(text, 'a', sizeof(text));
    text[PGF_PATH_PART_MAX] = '\0';
    assert_true(pgf_path_is_sane(text));
    text[PGF_PATH_PART_MAX] = 'a';
    text[PGF_PATH_PART_MAX + 1] = '\0';
    assert_false(pgf_path_is_sane(text));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i % 2 == 0 ? 'a' : '/';
    }
    text[2 * PGF_PATH_DEPTH_MAX - 1] = '\0';
    assert_true(pgf_path_is_sane(text));
    text[2 * PGF_PATH_DEPTH_MAX - 1] = '/';
    text[2 * PGF_PATH_DEPTH_MAX + 1] = '\0';
    assert_false(pgf_path_is_sane(text));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i % 200 == 199 ? '/' : 'a';
    }
    text[PGF_PATH_MAX + 1] = '\0';
    assert_false(pgf_path_is_sane(text));
    text[PGF_PATH_MAX] = '\0';
    assert_true(pgf_path_is_sane(text));
}

static void test_path__finds_tablespaces(void **state)
{
    static const struct {
        const char *path;
        uint32_t oid; /* 0: none */
        const char *rest;
    } cases[] = {
        {"pg_tblspc/16400", 16400, ""},
        {"pg_tblspc/16400/PG_15/5/1", 16400, "PG_15/5/1"},
        {"pg_tblspc/4294967295/x", 4294967295U, "x"},
        {"pg_tblspc/4294967296/x", 0, NULL},
        {"pg_tblspc/99999999999999999999/x", 0, NULL},
        {"pg_tblspc/016400/x", 0, NULL},
        {"pg_tblspc/+16400/x", 0, NULL},
        {"pg_tblspc/0/x", 0, NULL},
        {"pg_tblspc/16400x/x", 0, NULL},
        {"pg_tblspc/", 0, NULL},
        {"pg_tblspc", 0, NULL},
        {"base/16400", 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        uint32_t oid = 0;
        const char *rest = NULL;

        assert_int_equal(pgf_path_in_tablespace(cases[i].path, &oid, &rest), cases[i].oid != 0);
        assert_int_equal(oid, cases[i].oid);
        if (cases[i].oid != 0) {
            assert_string_equal(rest, cases[i].rest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path__judges_names),
        cmocka_unit_test(test_path__has_bounds),
        cmocka_unit_test(test_path__finds_tablespaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
