/* Connection strings: refusals, hosts, .pgpass. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "tests/unit/unit.h"

static void test_dsn__refuses_passwords_without_repeating_them(void **state)
{
    static const char *const cases[] = {
        "host=a password=hunter2",    "postgresql://user:hunter2@host/db",
        "host=a passfile=/hunter2",   "service=hunter2",
        "host=a sslpassword=hunter2", "postgres://h/db?password=hunter2"};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct hf_status status = pgwire_dsn_check(arena, cases[i]);

        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_string_equal(status.info->reason, "PASSWORD_IN_DSN");
        assert_null(strstr(status.message, "hunter2"));
        assert_non_null(strstr(status.message, "--password-stdin"));
        assert_non_null(strstr(status.message, "--password-file"));
    }
}

static void test_dsn__refuses_what_is_none(void **state)
{
    static const char *const cases[] = {"host", "host=a nonsense=1", "host='a", "port=1,2 host=a",
                                        "postgresql://[::1"};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct hf_status status = pgwire_dsn_check(arena, cases[i]);

        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_string_equal(status.info->reason, "INVALID_DSN");
    }
    assert_int_equal(pgwire_dsn_check(arena, NULL).code, HF_INVALID_ARGUMENT);
}

static void test_dsn__names_its_hosts(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgwire_dsn dsn;
    char *single = NULL;
    (void)state;

    assert_int_equal(
        pgwire_dsn_parse(arena, "postgresql://bob@one:1,two:2,three/orders?sslmode=require", &dsn)
            .code,
        HF_OK);
    assert_int_equal(dsn.hosts_len, 3);
    assert_string_equal(dsn.hosts[0].host, "one");
    assert_string_equal(dsn.hosts[1].port, "2");
    assert_string_equal(dsn.hosts[2].host, "three");
    assert_string_equal(dsn.hosts[2].port, "5432");
    assert_string_equal(dsn.user, "bob");
    assert_string_equal(dsn.dbname, "orders");
    assert_int_equal(pgwire_dsn_single(arena, "host=one,two port=7 user='it\\'s'", 1, &single).code,
                     HF_OK);
    assert_string_equal(single, "user='it\\'s' host='two' port='7'");
    assert_int_equal(pgwire_dsn_parse(arena, "user=x", &dsn).code, HF_OK);
    assert_int_equal(dsn.hosts_len, 1);
    assert_string_equal(dsn.hosts[0].host, "");
}

static void test_pgpass__finds_the_first_line_that_fits(void **state)
{
    static const char text[] = "# comment\n"
                               "db1:5432:orders:bob:one\n"
                               "db1:*:replication:al\\:ice:t\\\\w\\:o\r\n"
                               "*:*:*:bob:three\n";
    static const struct {
        const char *dsn;
        const char *want;
    } cases[] = {{"host=db1 user=bob dbname=orders", "one"},
                 {"host=db1 port=6000 user=bob dbname=orders", "three"},
                 {"host=db1 user=al:ice", "t\\w:o"},
                 {"host=db2 user=carol", NULL}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pgwire_dsn dsn;

        assert_int_equal(pgwire_dsn_parse(arena, cases[i].dsn, &dsn).code, HF_OK);
        assert_true(hf_text_equal(pgwire_pgpass_find(arena, text, &dsn), cases[i].want));
    }
}

static void test_slot_name__is_a_valid_one_of_cluster_and_install(void **state)
{
    static const char longest[] = "a234567890-234567890-234567890-234567890";
    struct pgwire_slot_name name = pgwire_slot_name("my-orders", "install-1");
    (void)state;

    assert_int_equal(strlen(name.text), strlen("holdfast_my_orders_123456"));
    assert_true(hf_has_prefix(name.text, "holdfast_my_orders_"));
    assert_int_equal(strspn(name.text, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name.text));
    assert_string_equal(pgwire_slot_name("my-orders", "install-1").text, name.text);
    assert_string_not_equal(pgwire_slot_name("my-orders", "install-2").text, name.text);
    assert_string_not_equal(pgwire_slot_name(longest, "x").text, name.text);
    assert_true(strlen(pgwire_slot_name(longest, "x").text) <= PGWIRE_SLOT_NAME_MAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dsn__refuses_passwords_without_repeating_them),
        cmocka_unit_test(test_dsn__refuses_what_is_none),
        cmocka_unit_test(test_dsn__names_its_hosts),
        cmocka_unit_test(test_pgpass__finds_the_first_line_that_fits),
        cmocka_unit_test(test_slot_name__is_a_valid_one_of_cluster_and_install),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
