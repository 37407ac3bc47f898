/* Connection strings: refusals, hosts, .pgpass. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "tests/unit/unit.h"

#define ENGINE "/tmp/evil.so:k"

/* Every one with the reason of its refusal; "" is taken. */
static const struct {
    const char *dsn;
    const char *reason;
    bool is_never; /* refused to old rows, too */
} dsns[] = {
    /* taken */
    {"host=db1", "", false},
    {"host=db1 port=5433 user=bob dbname=orders", "", false},
    {"host=db1,db2 port=5432,5433 user=bob", "", false},
    {"host=db1,db2 port=5433", "", false},
    {"hostaddr=10.0.0.1 user=bob", "", false},
    {"host=db1 hostaddr=10.0.0.1", "", false},
    {"host=/var/run/postgresql user=bob", "", false},
    {"host=db1 sslmode=verify-full", "", false},
    {"host=db1 sslmode=disable", "", false},
    {"host=db1 connect_timeout=5", "", false},
    {"host=db1 target_session_attrs=primary", "", false},
    {"host=db1 channel_binding=require", "", false},
    {"host=db1 keepalives=1 keepalives_idle=10 keepalives_interval=5 keepalives_count=2", "",
     false},
    {"user='it\\'s' host=db1", "", false},
    {"postgresql://bob@db1/orders", "", false},
    {"postgres://db1:5433,db2:5434/orders?sslmode=require", "", false},
    {"postgresql://bob@[::1]:5432/orders", "", false},
    {"postgresql:///orders?host=%2Fvar%2Frun%2Fpostgresql", "", false},
    {"dbname='host=127.0.0.1 user=x'", "", false}, /* a name, never expanded */
    {"dbname=postgresql://h/db", "", false},
    {"user=x", "", false},
    {"", "", false},
    /* secrets, and where they would be looked up */
    {"host=a password=hunter2", "PASSWORD_IN_DSN", true},
    {"postgresql://user:hunter2@host/db", "PASSWORD_IN_DSN", true},
    {"postgres://h/db?password=hunter2", "PASSWORD_IN_DSN", true},
    {"postgres://h/db?pass%77ord=hunter2", "PASSWORD_IN_DSN", true},
    {"host=a sslpassword=hunter2", "PASSWORD_IN_DSN", true},
    {"host=a passfile=/hunter2", "DSN_PASSFILE", true},
    {"postgres://h/db?passfile=%2Fhunter2", "DSN_PASSFILE", true},
    {"service=hunter2", "DSN_SERVICE", true},
    {"host=a service=hunter2", "DSN_SERVICE", true},
    {"postgres://h/db?service=hunter2", "DSN_SERVICE", true},
    /* code */
    {"host=a sslkey=" ENGINE, "DSN_ENGINE", true},
    {"host=a sslkey='" ENGINE "' sslcert=/c", "DSN_ENGINE", true},
    {"host=a sslcert=/c sslkey=dynamic:x", "DSN_ENGINE", true},
    {"host=a sslkey=pkcs11:object=k", "DSN_ENGINE", true},
    {"host=a sslkey=:", "DSN_ENGINE", true},
    {"postgres://h/db?sslkey=%2Fx%2Fevil.so%3Ak", "DSN_ENGINE", true},
    {"postgres://h/db?ssl%6bey=/x/evil.so:k", "DSN_ENGINE", true},
    /* files of the service's machine */
    {"host=a sslkey=/k", "DSN_CLIENT_FILE", false},
    {"host=a sslcert=/c", "DSN_CLIENT_FILE", false},
    {"host=a sslrootcert=/r", "DSN_CLIENT_FILE", false},
    {"host=a sslrootcert=system", "DSN_CLIENT_FILE", false},
    {"host=a sslcrl=/l", "DSN_CLIENT_FILE", false},
    {"host=a sslcrldir=/l", "DSN_CLIENT_FILE", false},
    {"postgres://h/db?sslrootcert=%2Fr", "DSN_CLIENT_FILE", false},
    /* the rest of libpq's keywords */
    {"host=a options='-c search_path=x'", "DSN_OPTIONS", false},
    {"host=a options=-csession_preload_libraries=x", "DSN_OPTIONS", false},
    {"postgres://h/db?options=-c%20x%3Dy", "DSN_OPTIONS", false},
    {"host=a krbsrvname=x", "DSN_GSS", false},
    {"host=a gssencmode=require", "DSN_GSS", false},
    {"host=a gsslib=gssapi", "DSN_GSS", false},
    {"host=a application_name=x", "DSN_OURS", false},
    {"host=a fallback_application_name=x", "DSN_OURS", false},
    {"host=a client_encoding=LATIN1", "DSN_OURS", false},
    {"host=a replication=database", "DSN_OURS", false},
    {"host=/run requirepeer=postgres", "DSN_REQUIREPEER", false},
    {"host=a tcp_user_timeout=1", "DSN_KEYWORD", false},
    {"host=a sslcompression=1", "DSN_KEYWORD", false},
    {"host=a sslsni=0", "DSN_KEYWORD", false},
    {"host=a ssl_min_protocol_version=TLSv1", "DSN_KEYWORD", false},
    {"host=a ssl_max_protocol_version=TLSv1.2", "DSN_KEYWORD", false},
    /* values that do not fit */
    {"host=a sslmode=none", "INVALID_DSN", false},
    {"host=a target_session_attrs=x", "INVALID_DSN", false},
    {"host=a channel_binding=maybe", "INVALID_DSN", false},
    {"host=a connect_timeout=-1", "INVALID_DSN", false},
    {"host=a connect_timeout=99999999999999999999", "INVALID_DSN", false},
    {"host=a keepalives=yes", "INVALID_DSN", false},
    {"host=a user='a\nb'", "INVALID_DSN", false},
    {"host='a\tb'", "INVALID_DSN", false},
    {"host=a user='\xff'", "INVALID_DSN", false},
    {"host=a dbname='\033[31m'", "INVALID_DSN", false},
    {"host=a dbname='\xc2\x9b'", "INVALID_DSN", false},
    {"host=a user='a\xe2\x80\xae'", "INVALID_DSN", false},
    {"postgres://h/a%E2%80%8Bb", "INVALID_DSN", false},
    {"host=a dbname='caf\xc3\xa9 \\\\ \xe6\x97\xa5'", "", false},
    {"host=a port=0", "INVALID_DSN", true},
    {"host=a port=65536", "INVALID_DSN", true},
    {"host=a port=-5432", "INVALID_DSN", true},
    {"host=a port=5432x", "INVALID_DSN", true},
    {"port=1,2 host=a", "INVALID_DSN", true},
    {"host=a,b hostaddr=10.0.0.1", "INVALID_DSN", true},
    {"host=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3,4,5,6,7", "INVALID_DSN", true},
    /* none at all */
    {"host", "INVALID_DSN", true},
    {"host=a nonsense=1", "DSN_KEYWORD", true},
    {"host='a", "INVALID_DSN", true},
    {"postgresql://[::1", "INVALID_DSN", true},
    {"postgresql://h/%zz", "INVALID_DSN", true},
    {"postgresql://h/db?nonsense=hunter2", "DSN_KEYWORD", true},
    {"host=a hunter2=1", "INVALID_DSN", true},
    {"host=a password=one hunter=2", "INVALID_DSN", true},
};

static void test_dsn__each_keyword_is_taken_or_refused_with_its_reason(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
    (void)state;

    assert_true(HF_LEN(dsns) >= 60);
    for (size_t i = 0; i < HF_LEN(dsns); i++) {
        struct hf_status status = pgwire_dsn_check(arena, dsns[i].dsn);
        const char *reason = hf_is_ok(status) ? "" : status.info->reason;

        if (strcmp(reason, dsns[i].reason) != 0) {
            fail_msg("%s: %s instead of %s", dsns[i].dsn, reason, dsns[i].reason);
        }
        if (!hf_is_ok(status)) {
            assert_int_equal(status.code, HF_INVALID_ARGUMENT);
            assert_null(strstr(status.message, "hunter2"));
            assert_null(strstr(status.message, "evil"));
        }
    }
}

static void test_dsn__an_unknown_keyword_is_named_with_the_list(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_status status = pgwire_dsn_check(arena, "host=a sslmod=require");
    (void)state;

    assert_non_null(strstr(status.message, "\"sslmod\""));
    assert_non_null(strstr(status.message, "connect_timeout"));
    assert_null(strstr(pgwire_dsn_check(arena, "host=a password=a secret=b").message, "secret"));
}

/* What is printed is pasted: as a shell reads it (q: its way to write a quote), and as the service
 * takes it. */
static void test_dsn__is_mended_by_options_that_can_be_pasted(void **state)
{
#define q "'\\''"
    static const struct {
        const char *dsn;
        const char *options;
    } cases[] = {
        {"host=db1 user=bob options=-cx=y", "--dsn 'user=" q "bob" q " host=" q "db1" q "'"},
        {"postgres://bob:hunter2@db1:7/o?sslmode=require",
         "--dsn 'user=" q "bob" q " dbname=" q "o" q " host=" q "db1" q " port=" q "7" q
         " sslmode=" q "require" q "' --password-stdin"},
        {"host=a sslrootcert='/a b/ca' sslcert=/c sslkey=/k",
         "--dsn 'host=" q "a" q "' --cert-file /c --key-file /k --ca-file '/a b/ca'"},
        {"host=a sslrootcert=system sslkey=/evil.so:k",
         "--dsn 'host=" q "a" q "' --key-file FILE --ca-file FILE"},
        {"host=a passfile=/p service=s sslmode=none", "--dsn 'host=" q "a" q "'"},
        {"host=a user='x\\' $(touch /evil) `id` \"'",
         "--dsn 'user=" q "x\\" q " $(touch /evil) `id` \"" q " host=" q "a" q "'"},
        {"options=-cx=y", "--dsn DSN"},
        {"host='a", "--dsn DSN"},
        {"", "--dsn DSN"},
    };
#undef q
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_string_equal(pgwire_dsn_mend(arena, cases[i].dsn), cases[i].options);
    }
}

/* Rows of before go on, but for what would load code or read secrets. */
static void test_dsn__old_rows_keep_what_is_harmless(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(dsns); i++) {
        struct pgwire_dsn dsn;
        struct hf_status status = pgwire_dsn_parse(arena, dsns[i].dsn, &dsn);

        if (hf_is_ok(status) == dsns[i].is_never) {
            fail_msg("%s: %s", dsns[i].dsn, hf_is_ok(status) ? "taken" : status.message);
        }
    }
}

static void test_dsn__a_password_is_refused_with_where_to_put_it(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_status status = pgwire_dsn_check(arena, "host=a password=hunter2");
    (void)state;

    assert_non_null(strstr(status.message, "--password-stdin"));
    assert_non_null(strstr(status.message, "--password-file"));
    assert_int_equal(pgwire_dsn_check(arena, NULL).code, HF_INVALID_ARGUMENT);
}

/* libpq takes white space of every kind between keywords; what is stored is one line. */
static void test_dsn__is_taken_as_one_line(void **state)
{
    static const struct {
        const char *dsn;
        const char *want;
    } cases[] = {
        {"host=db1 user='it\\'s'", "host=db1 user='it\\'s'"},
        {"host=db1\nuser=bob\n", "host=db1 user=bob "},
        {"\thost\t=\tdb1\r\nuser\v=\fbob", " host = db1  user = bob"},
        {"postgresql://bob@db1/orders", "postgresql://bob@db1/orders"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const char *line = NULL;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct pgwire_dsn dsn;

        assert_int_equal(pgwire_dsn_take(arena, cases[i].dsn, &line).code, HF_OK);
        assert_string_equal(line, cases[i].want);
        assert_int_equal(pgwire_dsn_parse(arena, line, &dsn).code, HF_OK);
        assert_string_equal(dsn.hosts[0].host, "db1");
    }
    assert_int_equal(pgwire_dsn_take(arena, "host=db1 user='a\nb'", &line).code,
                     HF_INVALID_ARGUMENT);
    assert_int_equal(pgwire_dsn_take(arena, "host=db1 user=a\\\nb", &line).code,
                     HF_INVALID_ARGUMENT);
}

static void test_dsn__length_is_bounded(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
    char *longest = hf_alloc(arena, 4097 + 1);
    (void)state;

    memset(longest, 'a', 4097);
    memcpy(longest, "host=", 5);
    assert_string_equal(pgwire_dsn_check(arena, longest).info->reason, "INVALID_DSN");
    longest[4096] = '\0';
    assert_int_equal(pgwire_dsn_check(arena, longest).code, HF_OK);
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

/* What was given for one place is not taken along to another. */
static const struct {
    struct pgwire_way before;
    struct pgwire_way after;
    bool is_trusted;
} ways[] = {
    {{"host=a user=u", false}, {"host=a user=u", false}, true},
    {{"host=a user=u", false}, {"postgresql://u@a:5432/other", false}, true},
    {{"host=a user=u", false}, {"host=a user=u dbname=x connect_timeout=3", false}, true},
    {{"host=a,b user=u", false}, {"host=b user=u", false}, true},
    {{"host=a,b port=1,2", false}, {"host=b,a port=2,1", false}, true},
    {{"host=a", false}, {"host=a sslmode=require", false}, true},
    {{"host=a", false}, {"host=a", true}, true},
    {{"host=a options=-cx=y sslkey=/x.so:k", false}, {"host=a", false}, true},
    /* another place */
    {{"host=a user=u", false}, {"host=b user=u", false}, false},
    {{"host=a user=u", false}, {"host=a,b user=u", false}, false},
    {{"host=a user=u", false}, {"host=a port=5433 user=u", false}, false},
    {{"host=a,b port=1,2", false}, {"host=a,b port=2,1", false}, false},
    {{"host=a user=u", false}, {"host=a hostaddr=10.0.0.1 user=u", false}, false},
    {{"host=a hostaddr=10.0.0.1", false}, {"host=a", false}, false},
    {{"host=a user=u", false}, {"host=a user=v", false}, false},
    {{"host=a user=u", false}, {"host=a", false}, false},
    {{"host=/run/a", false}, {"host=127.0.0.1", false}, false},
    {{"", false}, {"host=a", false}, false},
    {{NULL, false}, {"host=a", false}, false},
    {{"nonsense", false}, {"host=a", false}, false},
    /* the same with less protection */
    {{"host=a", false}, {"host=a sslmode=disable", false}, false},
    {{"host=a", false}, {"host=a sslmode=allow", false}, false},
    {{"host=a sslmode=require", false}, {"host=a", false}, false},
    {{"host=a sslmode=verify-full", true}, {"host=a sslmode=verify-ca", true}, false},
    {{"host=a sslmode=verify-full", true}, {"host=a sslmode=require", false}, false},
    {{"host=a", true}, {"host=a", false}, false},
    {{"host=a", true}, {"host=a sslmode=require", true}, false},
    {{"host=a sslmode=require", true}, {"host=a sslmode=require", false}, false},
    {{"host=a sslmode=require sslrootcert=/f", false}, {"host=a sslmode=require", false}, false},
    {{"host=a sslmode=require sslrootcert=/f", false},
     {"host=a sslmode=require", true}, /* perhaps another */
     false},
    {{"host=a sslrootcert=/f", false}, {"host=a sslrootcert=/g", false}, false},
    {{"host=a sslrootcert=/f sslcrl=/l", false}, {"host=a sslrootcert=/f", false}, false},
    {{"host=a sslcrldir=/l", true}, {"host=a", true}, false},
    {{"host=a sslrootcert=/f sslcrl=/l", false},
     {"host=a sslrootcert=/f sslcrl=/l connect_timeout=3", false},
     true},
    {{"host=a channel_binding=require", false}, {"host=a", false}, false},
    {{"host=a", false}, {"host=a channel_binding=disable", false}, false},
};

static void test_dsn__secrets_stay_where_they_were_given(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(ways); i++) {
        if (pgwire_dsn_is_trusted(arena, &ways[i].before, &ways[i].after) != ways[i].is_trusted) {
            fail_msg("%s → %s", ways[i].before.dsn, ways[i].after.dsn);
        }
    }
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
        cmocka_unit_test(test_dsn__an_unknown_keyword_is_named_with_the_list),
        cmocka_unit_test(test_dsn__is_mended_by_options_that_can_be_pasted),
        cmocka_unit_test(test_dsn__each_keyword_is_taken_or_refused_with_its_reason),
        cmocka_unit_test(test_dsn__old_rows_keep_what_is_harmless),
        cmocka_unit_test(test_dsn__a_password_is_refused_with_where_to_put_it),
        cmocka_unit_test(test_dsn__is_taken_as_one_line),
        cmocka_unit_test(test_dsn__length_is_bounded),
        cmocka_unit_test(test_dsn__names_its_hosts),
        cmocka_unit_test(test_dsn__secrets_stay_where_they_were_given),
        cmocka_unit_test(test_pgpass__finds_the_first_line_that_fits),
        cmocka_unit_test(test_slot_name__is_a_valid_one_of_cluster_and_install),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
