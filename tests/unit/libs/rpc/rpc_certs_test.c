/* Certificates that our CA does not make: each is accepted or refused with a code that says so, and
 * the server goes on. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "harness.h"
#include "tests/unit/unit.h"

#define ANN "spiffe://" TEST_INSTALL "/client/ann"
#define EVE "spiffe://" TEST_INSTALL "/client/eve"

static const struct row {
    const char *what;
    const char *uri;
    struct test_oddity oddity;
    enum hf_code code;
    const char *word; /* stands in the message */
} rows[] = {
    {"without extended key usage", ANN, {NULL, 0, false}, HF_OK, NULL},
    {"for clients", ANN, {"clientAuth", 0, false}, HF_OK, NULL},
    {"for clients and servers", ANN, {"serverAuth,clientAuth", 0, false}, HF_OK, NULL},
    {"for servers only", ANN, {"serverAuth", 0, false}, HF_UNAVAILABLE, "may not accept"},
    {"for signing code", ANN, {"codeSigning", 0, false}, HF_UNAVAILABLE, "may not accept"},
    {"for clients, critical", ANN, {"critical,clientAuth", 0, false}, HF_OK, NULL},
    {"for time stamps, critical",
     ANN,
     {"critical,timeStamping", 0, false},
     HF_UNAVAILABLE,
     "may not accept"},
    {"two names", ANN ",URI:" EVE, {NULL, 0, false}, HF_UNAUTHENTICATED, "2 URI names"},
    {"the same name twice", ANN ",URI:" ANN, {NULL, 0, false}, HF_UNAUTHENTICATED, "2 URI names"},
    {"no name", NULL, {NULL, 0, false}, HF_UNAUTHENTICATED, "0 URI names"},
    {"another installation",
     "spiffe://0190a1b2-c3d4-7e5f-8a6b-000000000000/client/ann",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "another installation"},
    {"the installation in capitals",
     "spiffe://0190A1B2-C3D4-7E5F-8A6B-7C8D9E0F1A2B/client/ann",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "another installation"},
    {"a name in capitals",
     "spiffe://" TEST_INSTALL "/client/Ann",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "certificate names"},
    {"an encoded name",
     "spiffe://" TEST_INSTALL "/client/%61nn",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "certificate names"},
    {"a name that goes on", ANN "/x", {NULL, 0, false}, HF_UNAUTHENTICATED, "certificate names"},
    {"a query", ANN "?a=b", {NULL, 0, false}, HF_UNAUTHENTICATED, "certificate names"},
    {"terminal escapes",
     "spiffe://" TEST_INSTALL "/client/\x1b[2J",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "\\x1b[2J"},
    {"another scheme",
     "SPIFFE://" TEST_INSTALL "/client/ann",
     {NULL, 0, false},
     HF_UNAUTHENTICATED,
     "certificate names"},
    {"a chain of three", ANN, {"clientAuth", 2, false}, HF_OK, NULL},
    {"a chain of 16", ANN, {"clientAuth", 15, false}, HF_OK, NULL},
    {"a chain of 30", ANN, {"clientAuth", 29, false}, HF_FAILED_PRECONDITION, "not trusted"},
    {"signed by one that may not", ANN, {NULL, 1, true}, HF_FAILED_PRECONDITION, "not trusted"},
};

static void use(struct harness *h, const struct rpc_tls_files *files, struct hf_status *status)
{
    const PbJobs__Job *job = NULL;
    struct hf_ctx ctx = {.arena = h->arena};
    const struct rpc_client_config config = {
        .target = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server)),
        .tls = *files,
    };

    rpc_client_free(h->client);
    h->client = NULL;
    *status = rpc_client_new(h->arena, &config, &h->client);
    if (hf_is_ok(*status)) {
        *status = harness_get(h, &ctx, "x", &job);
    }
}

static void test_certs__each_is_accepted_or_refused_in_words(void **state)
{
    struct harness *h = harness_new();
    struct hf_status status;

    (void)state;
    harness_serve(h);
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        const struct test_leaf leaf = {rows[i].uri, -60, 3600, 50 + (long)i};
        struct rpc_tls_files files =
            test_odd_leaf_write(h->arena, h->ca, h->dir, "odd", &leaf, &rows[i].oddity);
        use(h, &files, &status);
        if (status.code != rows[i].code ||
            (rows[i].word != NULL && strstr(status.message, rows[i].word) == NULL)) {
            fail_msg("%s: %s '%s'", rows[i].what, hf_code_name(status.code), status.message);
        }
        use(h, &h->client_files, &status);
        assert_int_equal(status.code, HF_OK);
    }
    harness_free(h);
}

/* As the server's own: it starts, or says why not; an installation of odd ones still works. */
static void test_certs__servers_are_judged_alike(void **state)
{
    static const struct test_oddity oddities[] = {
        {NULL, 0, false}, {"serverAuth", 0, false}, {"serverAuth", 15, false}};
    const struct test_leaf leaf = {"spiffe://" TEST_INSTALL "/service/backup", -60, 3600, 90};

    (void)state;
    for (size_t i = 0; i < HF_LEN(oddities); i++) {
        struct harness *h = harness_new();
        const PbJobs__Job *job = NULL;
        h->config.tls = test_odd_leaf_write(h->arena, h->ca, h->dir, "odd", &leaf, &oddities[i]);
        harness_serve(h);
        assert_int_equal(harness_get(h, &h->ctx, "x", &job).code, HF_OK);
        harness_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certs__each_is_accepted_or_refused_in_words),
        cmocka_unit_test(test_certs__servers_are_judged_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
