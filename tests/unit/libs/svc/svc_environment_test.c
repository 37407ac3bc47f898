/* What a service forgets of its environment. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "svc/environment.h"
#include "tests/unit/unit.h"

static void test_environment__only_harmless_variables_stay(void **state)
{
    static const char *const gone[] = {
        "PGHOST",          "PGHOSTADDR",    "PGPORT",          "PGUSER",
        "PGPASSWORD",      "PGPASSFILE",    "PGSERVICE",       "PGSERVICEFILE",
        "PGOPTIONS",       "PGSSLMODE",     "PGSSLKEY",        "PGSSLCERT",
        "PGSSLROOTCERT",   "PGSYSCONFDIR",  "PGREQUIREPEER",   "HOME",
        "XDG_DATA_HOME",   "SSL_CERT_FILE", "OPENSSL_CONF",    "OPENSSL_ENGINES",
        "OPENSSL_MODULES", "KRB5CCNAME",    "KRB5_CONFIG",     "HOSTALIASES",
        "RES_OPTIONS",     "LOCALDOMAIN",   "LD_LIBRARY_PATH", "http_proxy",
        "HOLDFAST_SECRET"};
    (void)state;

    for (size_t i = 0; i < HF_LEN(gone); i++) {
        assert_int_equal(setenv(gone[i], "/tmp/evil.so:k", 1), 0);
    }
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    assert_int_equal(setenv("PATH", "/usr/bin", 1), 0);
    svc_environment_clear();
    for (size_t i = 0; i < HF_LEN(gone); i++) {
        if (getenv(gone[i]) != NULL) {
            fail_msg("%s is still there", gone[i]);
        }
    }
    assert_string_equal(getenv("TZ"), "UTC");
    assert_string_equal(getenv("PATH"), "/usr/bin");
    svc_environment_clear();
    assert_string_equal(getenv("TZ"), "UTC");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment__only_harmless_variables_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
