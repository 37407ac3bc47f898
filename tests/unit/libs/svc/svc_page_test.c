/* A page token goes on with its own list and with no other, and nobody can make one up. */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "svc/page.h"
#include "tests/unit/unit.h"

struct fixture {
    struct hf_arena *arena;
    struct hf_ctx ctx;
    char *dir;
    struct secret_key *key;
    struct secret_key *other_key;
};

static const struct svc_page_request first = {
    .method = "ListBackups", .parent = "tenants/a/clusters/orders", .filter = "state = \"FAILED\""};

static struct secret_key *key_new(struct fixture *fix, const char *name)
{
    struct secret_key *key = NULL;
    char *path = hf_path_join(fix->arena, fix->dir, name);

    assert_true(hf_is_ok(secret_key_create(&fix->ctx, path)));
    assert_true(hf_is_ok(secret_key_load(&fix->ctx, path, &key)));
    return key;
}

static int set_up(void **state)
{
    struct fixture *fix = hf_heap_alloc(sizeof(*fix));
    char root[] = "/tmp/hf-page-XXXXXX";

    fix->arena = hf_arena_new((size_t)1024 * 1024);
    fix->ctx = (struct hf_ctx){.arena = fix->arena};
    fix->dir = hf_strdup(fix->arena, mkdtemp(root));
    fix->key = key_new(fix, "one");
    fix->other_key = key_new(fix, "two");
    *state = fix;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fix = *state;

    secret_key_free(fix->key);
    secret_key_free(fix->other_key);
    (void)hf_is_ok(hf_remove_tree(fix->arena, fix->dir));
    hf_arena_free(fix->arena);
    hf_heap_free(fix);
    return 0;
}

static char *token_of(struct fixture *fix, const char *last)
{
    char *token = NULL;

    assert_true(hf_is_ok(svc_page_next(&fix->ctx, fix->key, &first, last, &token)));
    return token;
}

static void assert_refused(struct fixture *fix, const struct secret_key *key,
                           struct svc_page_request want, const char *reason)
{
    struct svc_page page;
    struct hf_status status = svc_page_open(&fix->ctx, key, &want, &page);

    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_string_equal(status.info->reason, reason);
}

static void test_page__goes_on_where_the_last_one_ended(void **state)
{
    struct fixture *fix = *state;
    struct svc_page_request want = first;
    struct svc_page page;

    want.page_token = token_of(fix, "b20261124t034801-4f9a1c");
    want.page_size = 3; /* may change between pages */
    assert_true(hf_is_ok(svc_page_open(&fix->ctx, fix->key, &want, &page)));
    assert_string_equal(page.after, "b20261124t034801-4f9a1c");
    assert_int_equal(page.limit, 3);
}

static void test_page__sizes_are_bounded(void **state)
{
    static const struct {
        int32_t size;
        size_t limit;
    } rows[] = {{0, 50}, {1, 1}, {1000, 1000}, {1001, 1000}, {INT32_MAX, 1000}};
    struct fixture *fix = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct svc_page_request want = first;
        struct svc_page page;

        want.page_size = rows[i].size;
        assert_true(hf_is_ok(svc_page_open(&fix->ctx, fix->key, &want, &page)));
        assert_int_equal(page.limit, rows[i].limit);
        assert_string_equal(page.after, "");
    }
}

static void test_page__negative_size_is_refused(void **state)
{
    struct fixture *fix = *state;
    struct svc_page_request want = first;

    want.page_size = -1;
    assert_refused(fix, fix->key, want, "INVALID_PAGE_SIZE");
    want.page_size = INT32_MIN;
    assert_refused(fix, fix->key, want, "INVALID_PAGE_SIZE");
}

static void test_page__token_belongs_to_one_list(void **state)
{
    static const struct svc_page_request others[] = {
        {.method = "ListRestores",
         .parent = "tenants/a/clusters/orders",
         .filter = "state = \"FAILED\""},
        {.method = "ListBackups",
         .parent = "tenants/b/clusters/orders",
         .filter = "state = \"FAILED\""},
        {.method = "ListBackups", .parent = "tenants/a/clusters/orders", .filter = ""},
        {.method = "ListBackups", .parent = "tenants/a/clusters/orders/state = \"FAILED\""},
    };
    struct fixture *fix = *state;

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct svc_page_request want = others[i];

        want.page_token = token_of(fix, "last");
        assert_refused(fix, fix->key, want, "INVALID_PAGE_TOKEN");
    }
}

static void test_page__token_is_not_readable_and_not_made_up(void **state)
{
    static const char *const forged[] = {"b20261124t034801-4f9a1c", "last", "00", "zz", "é"};
    struct fixture *fix = *state;
    struct svc_page_request want = first;
    char *token = token_of(fix, "last");

    assert_null(strstr(token, hf_hex(fix->arena, "last", 4)));
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        want.page_token = forged[i];
        assert_refused(fix, fix->key, want, "INVALID_PAGE_TOKEN");
    }
    want.page_token = token;
    assert_refused(fix, fix->other_key, want, "INVALID_PAGE_TOKEN");
    for (size_t i = 0; token[i] != '\0'; i++) {
        char *bent = hf_strdup(fix->arena, token);

        bent[i] = bent[i] == '0' ? '1' : '0';
        want.page_token = bent;
        assert_refused(fix, fix->key, want, "INVALID_PAGE_TOKEN");
    }
    want.page_token = hf_strndup(fix->arena, token, strlen(token) - 2);
    assert_refused(fix, fix->key, want, "INVALID_PAGE_TOKEN");
}

static void test_page__endless_token_is_refused(void **state)
{
    struct fixture *fix = *state;
    struct svc_page_request want = first;
    char *text = hf_alloc(fix->arena, 65537);

    memset(text, '0', 65536);
    text[65536] = '\0';
    want.page_token = text;
    assert_refused(fix, fix->key, want, "INVALID_PAGE_TOKEN");
}

/* Items of any size: a page holds at least one, and never more than a client takes. */
static void test_page__ends_before_its_reply_is_too_large(void **state)
{
    struct svc_page page = {.limit = 1000};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(svc_page_take(&page, (size_t)1 << 20));
    }
    assert_false(svc_page_take(&page, 1));
    page = (struct svc_page){.limit = 1000};
    assert_true(svc_page_take(&page, (size_t)5 << 20));
    assert_false(svc_page_take(&page, 1));
    page = (struct svc_page){.limit = 1000};
    assert_true(svc_page_take(&page, 10));
    assert_false(svc_page_take(&page, SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_page__goes_on_where_the_last_one_ended, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_page__sizes_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page__negative_size_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page__token_belongs_to_one_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page__token_is_not_readable_and_not_made_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_page__endless_token_is_refused, set_up, tear_down),
        cmocka_unit_test(test_page__ends_before_its_reply_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
