/* Messages of authentication, cut anywhere: only whole ones are let through, costly ones never. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "pgwire/internal.h"
#include "tests/unit/unit.h"

#define BYTES(text) (text), sizeof(text) - 1
#define SASL "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
#define CONTINUE(n) "R\0\0\0\x1b\0\0\0\x0br=abc,s=QQ==,i=" n

#define CLEAR "R\0\0\0\x08\0\0\0\3"

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum pgwire_greeting greeting;
} rows[] = {
    {"nothing", BYTES(""), PGWIRE_GREETING_FINE},
    {"in without a password", BYTES("R\0\0\0\x08\0\0\0\0"), PGWIRE_GREETING_FINE},
    {"SASL", BYTES(SASL), PGWIRE_GREETING_FINE},
    {"the default", BYTES(CONTINUE("4096")), PGWIRE_GREETING_FINE},
    {"many", BYTES("R\0\0\0\x1d\0\0\0\x0br=abc,s=QQ==,i=500000"), PGWIRE_GREETING_FINE},
    {"one too many", BYTES("R\0\0\0\x1d\0\0\0\x0br=abc,s=QQ==,i=500001"), PGWIRE_GREETING_COSTLY},
    {"2^31-1", BYTES("R\0\0\0\x21\0\0\0\x0br=abc,s=QQ==,i=2147483647"), PGWIRE_GREETING_COSTLY},
    {"2^64+1", BYTES("R\0\0\0\x2b\0\0\0\x0br=abc,s=QQ==,i=18446744073709551617"),
     PGWIRE_GREETING_COSTLY},
    {"with a sign and spaces", BYTES("R\0\0\0\x23\0\0\0\x0br=abc,s=QQ==,i= +2147483647"),
     PGWIRE_GREETING_COSTLY},
    {"behind another message",
     BYTES("S\0\0\0\x08x\0y\0"
           "R\0\0\0\x21\0\0\0\x0br=abc,s=QQ==,i=2147483647"),
     PGWIRE_GREETING_COSTLY},
    {"begun behind SASL", BYTES(SASL "R\0\0\0\x22"), PGWIRE_GREETING_STRANGE},
    {"MD5", BYTES("R\0\0\0\x0c\0\0\0\5salt"), PGWIRE_GREETING_FINE},
    {"Kerberos", BYTES("R\0\0\0\x08\0\0\0\2"), PGWIRE_GREETING_METHOD},
    {"credentials", BYTES("R\0\0\0\x08\0\0\0\6"), PGWIRE_GREETING_METHOD},
    {"GSSAPI", BYTES("R\0\0\0\x08\0\0\0\7"), PGWIRE_GREETING_METHOD},
    {"GSSAPI, more", BYTES("R\0\0\0\x08\0\0\0\x08"), PGWIRE_GREETING_METHOD},
    {"SSPI", BYTES("R\0\0\0\x08\0\0\0\x09"), PGWIRE_GREETING_METHOD},
    {"what is not known", BYTES("R\0\0\0\x08\0\0\0\x0d"), PGWIRE_GREETING_METHOD},
    {"none", BYTES("R\0\0\0\x04"), PGWIRE_GREETING_METHOD},
    {"aloud", BYTES(CLEAR), PGWIRE_GREETING_CLEAR},
    {"aloud, begun", BYTES("R\0\0\0\x08\0\0\0"), PGWIRE_GREETING_MORE},
    {"aloud, behind another message", BYTES("S\0\0\0\x08x\0y\0" CLEAR), PGWIRE_GREETING_CLEAR},
    {"aloud, behind another question", BYTES("R\0\0\0\x0c\0\0\0\5salt" CLEAR),
     PGWIRE_GREETING_STRANGE},
    {"aloud, when all is said", BYTES("R\0\0\0\x08\0\0\0\0" CLEAR), PGWIRE_GREETING_CLEAR},
    {"the second half of one", BYTES("r=abc,s=QQ==,i=2147483647"), PGWIRE_GREETING_STRANGE},
    {"a nonce that looks like a type", BYTES("Rabc,s=QQ==,i=2147483647"), PGWIRE_GREETING_HUGE},
    {"a length of 3", BYTES("R\0\0\0\x03"), PGWIRE_GREETING_STRANGE},
    {"a length of -1", BYTES("R\xff\xff\xff\xff"), PGWIRE_GREETING_HUGE},
    {"HTTP", BYTES("HTTP/1.1 400"), PGWIRE_GREETING_STRANGE},
    {"a long error", BYTES("E\0\x10\0\0SFATAL"), PGWIRE_GREETING_FINE},
};

static void test_greeting__lets_only_whole_and_cheap_messages_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        enum pgwire_greeting greeting =
            pgwire_greeting_judge((const uint8_t *)rows[i].bytes, rows[i].len, false);

        if (greeting != rows[i].greeting) {
            print_error("%s\n", rows[i].name);
        }
        assert_int_equal(greeting, rows[i].greeting);
    }
}

/* Over TLS, or to a server of this machine. */
static void test_greeting__a_password_may_be_said_where_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(pgwire_greeting_judge((const uint8_t *)CLEAR, sizeof(CLEAR) - 1, true),
                     PGWIRE_GREETING_FINE);
}

static void test_greeting__waits_for_each_byte_of_authentication(void **state)
{
    static const char whole[] = SASL CONTINUE("4096");
    static const char next[] = CONTINUE("4096");

    (void)state;
    for (size_t len = 1; len < sizeof(whole) - 1; len++) {
        enum pgwire_greeting greeting = pgwire_greeting_judge((const uint8_t *)whole, len, false);

        assert_int_equal(greeting, len == sizeof(SASL) - 1  ? PGWIRE_GREETING_FINE
                                   : len < sizeof(SASL) - 1 ? PGWIRE_GREETING_MORE
                                                            : PGWIRE_GREETING_STRANGE);
    }
    for (size_t len = 1; len < sizeof(next) - 1; len++) {
        assert_int_equal(pgwire_greeting_judge((const uint8_t *)next, len, false),
                         PGWIRE_GREETING_MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting__lets_only_whole_and_cheap_messages_through),
        cmocka_unit_test(test_greeting__a_password_may_be_said_where_nobody_listens),
        cmocka_unit_test(test_greeting__waits_for_each_byte_of_authentication),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
