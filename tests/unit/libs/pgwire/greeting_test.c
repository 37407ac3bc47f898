/* Messages of authentication, cut anywhere: only whole ones are let through, costly ones never. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "pgwire/internal.h"
#include "tests/unit/unit.h"

#define BYTES(text) (text), sizeof(text) - 1
#define SASL "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
#define CONTINUE(n) "R\0\0\0\x1b\0\0\0\x0br=abc,s=QQ==,i=" n

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
    {"begun behind SASL", BYTES(SASL "R\0\0\0\x22"), PGWIRE_GREETING_MORE},
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
            pgwire_greeting_judge((const uint8_t *)rows[i].bytes, rows[i].len);

        if (greeting != rows[i].greeting) {
            print_error("%s\n", rows[i].name);
        }
        assert_int_equal(greeting, rows[i].greeting);
    }
}

static void test_greeting__waits_for_each_byte_of_authentication(void **state)
{
    static const char whole[] = SASL CONTINUE("4096");

    (void)state;
    for (size_t len = 1; len < sizeof(whole) - 1; len++) {
        enum pgwire_greeting greeting = pgwire_greeting_judge((const uint8_t *)whole, len);

        assert_int_equal(greeting,
                         len == sizeof(SASL) - 1 ? PGWIRE_GREETING_FINE : PGWIRE_GREETING_MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greeting__lets_only_whole_and_cheap_messages_through),
        cmocka_unit_test(test_greeting__waits_for_each_byte_of_authentication),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
