/* The built-in CA: what it issues verifies, says who it is, and ends when it should. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/pki.h"
#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/unit.h"

#define INSTALL "0190b4d2-0000-7000-8000-000000000001"

struct fixture {
    struct hf_arena *arena;
    struct hf_ctx ctx;
    char *dir;
    char *ca;
};

static int setup(void **state)
{
    struct fixture *fix = hf_heap_alloc(sizeof(*fix));
    char root[] = "/tmp/hf-pki-XXXXXX";

    fix->arena = hf_arena_new((size_t)4 * 1024 * 1024);
    fix->ctx = (struct hf_ctx){.arena = fix->arena};
    fix->dir = hf_strdup(fix->arena, mkdtemp(root));
    fix->ca = hf_path_join(fix->arena, fix->dir, "ca");
    assert_true(hf_is_ok(pki_ca_create(&fix->ctx, fix->ca, INSTALL, 3650 * PKI_DAY_S)));
    *state = fix;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;

    (void)hf_is_ok(hf_remove_tree(fix->arena, fix->dir));
    hf_arena_free(fix->arena);
    hf_heap_free(fix);
    return 0;
}

static struct pki_request request_of(struct fixture *fix, const char *kind, const char *name)
{
    return (struct pki_request){
        .ca_dir = fix->ca,
        .out_dir = hf_path_join(fix->arena, fix->dir, name),
        .install_id = INSTALL,
        .kind = kind,
        .name = name,
        .validity_s = PKI_DAY_S,
    };
}

static char *file_of(struct fixture *fix, const char *name, const char *file)
{
    return hf_path_join(fix->arena, hf_path_join(fix->arena, fix->dir, name), file);
}

static mode_t mode_of(const char *path)
{
    struct stat facts;

    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 0777;
}

static void test_issue__client_verifies_and_carries_its_name(void **state)
{
    struct fixture *fix = *state;
    struct pki_request request = request_of(fix, "client", "alice");
    struct pki_facts facts;
    int64_t now_us = hf_now_us();

    assert_true(hf_is_ok(pki_issue(&fix->ctx, &request)));
    assert_true(hf_is_ok(pki_read(&fix->ctx, file_of(fix, "alice", "tls.crt"), &facts)));
    assert_string_equal(facts.uri, "spiffe://" INSTALL "/client/alice");
    assert_true(facts.not_before_us <= now_us);
    assert_in_range(facts.not_after_us - now_us, (PKI_DAY_S - 60) * HF_US_PER_S,
                    (PKI_DAY_S + 60) * HF_US_PER_S);
    assert_true(hf_is_ok(pki_verify(&fix->ctx, file_of(fix, "alice", "tls.crt"),
                                    file_of(fix, "alice", "ca.crt"), 0)));
    assert_int_equal(mode_of(file_of(fix, "alice", "tls.key")), 0600);
    assert_int_equal(mode_of(hf_path_join(fix->arena, fix->ca, "ca.key")), 0600);
}

static void test_issue__expired_certificate_says_so(void **state)
{
    struct fixture *fix = *state;
    struct pki_request request = request_of(fix, "client", "late");

    request.not_before_us = hf_now_us() - 3 * PKI_DAY_S * HF_US_PER_S;
    assert_true(hf_is_ok(pki_issue(&fix->ctx, &request)));
    struct hf_status status =
        pki_verify(&fix->ctx, file_of(fix, "late", "tls.crt"), file_of(fix, "late", "ca.crt"), 0);
    assert_int_equal(status.code, HF_UNAUTHENTICATED);
    assert_string_equal(status.info->reason, "CERTIFICATE_EXPIRED");
}

static void test_issue__another_ca_is_not_trusted_until_it_is_in_the_bundle(void **state)
{
    struct fixture *fix = *state;
    struct pki_request request = request_of(fix, "service", "backup");
    char *other = hf_path_join(fix->arena, fix->dir, "other");
    char *other_crt = hf_path_join(fix->arena, other, "ca.crt");

    request.is_server = true;
    assert_true(hf_is_ok(pki_issue(&fix->ctx, &request)));
    assert_true(hf_is_ok(pki_ca_create(&fix->ctx, other, INSTALL, PKI_DAY_S)));
    struct hf_status status =
        pki_verify(&fix->ctx, file_of(fix, "backup", "tls.crt"), other_crt, 0);
    assert_string_equal(status.info->reason, "CERTIFICATE_INVALID");
    char *bundle = hf_path_join(fix->arena, fix->dir, "bundle.crt");
    char *ca_crt = hf_path_join(fix->arena, fix->ca, "ca.crt");
    assert_true(hf_is_ok(pki_bundle_add(&fix->ctx, bundle, other_crt)));
    assert_true(hf_is_ok(pki_bundle_add(&fix->ctx, bundle, ca_crt)));
    assert_true(hf_is_ok(pki_bundle_add(&fix->ctx, bundle, ca_crt)));
    assert_true(hf_is_ok(pki_verify(&fix->ctx, file_of(fix, "backup", "tls.crt"), bundle, 0)));
}

static void test_key__fits_its_own_certificate_only(void **state)
{
    struct fixture *fix = *state;
    struct pki_request alice = request_of(fix, "client", "alice");
    struct pki_request bob = request_of(fix, "client", "bob");

    assert_true(hf_is_ok(pki_issue(&fix->ctx, &alice)));
    assert_true(hf_is_ok(pki_issue(&fix->ctx, &bob)));
    const char *crt = file_of(fix, "alice", "tls.crt");

    assert_true(pki_key_fits(&fix->ctx, crt, file_of(fix, "alice", "tls.key")));
    assert_false(pki_key_fits(&fix->ctx, crt, file_of(fix, "bob", "tls.key")));
    assert_false(pki_key_fits(&fix->ctx, crt, file_of(fix, "alice", "not-there")));
}

static void test_issue__leaf_ends_with_its_ca(void **state)
{
    struct fixture *fix = *state;
    struct pki_request request = request_of(fix, "service", "backup");
    struct pki_facts ca, leaf;

    request.validity_s = 100 * 365 * PKI_DAY_S;
    assert_true(hf_is_ok(pki_issue(&fix->ctx, &request)));
    assert_true(hf_is_ok(pki_read(&fix->ctx, hf_path_join(fix->arena, fix->ca, "ca.crt"), &ca)));
    assert_true(hf_is_ok(pki_read(&fix->ctx, file_of(fix, "backup", "tls.crt"), &leaf)));
    assert_int_equal(leaf.not_after_us, ca.not_after_us);
}

static void test_issue__bad_input_is_refused(void **state)
{
    struct fixture *fix = *state;
    struct pki_request request = request_of(fix, "client", "alice");

    request.name = "Alice,DNS:evil";
    assert_int_equal(pki_issue(&fix->ctx, &request).code, HF_INVALID_ARGUMENT);
    request = request_of(fix, "root", "alice");
    assert_int_equal(pki_issue(&fix->ctx, &request).code, HF_INVALID_ARGUMENT);
    request = request_of(fix, "client", "alice");
    request.ca_dir = fix->dir;
    assert_int_equal(pki_issue(&fix->ctx, &request).code, HF_NOT_FOUND);
    assert_int_equal(pki_ca_create(&fix->ctx, fix->ca, INSTALL, PKI_DAY_S).code, HF_ALREADY_EXISTS);
    struct pki_facts facts;
    assert_int_equal(pki_read(&fix->ctx, hf_path_join(fix->arena, fix->ca, "ca.key"), &facts).code,
                     HF_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_issue__client_verifies_and_carries_its_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_issue__expired_certificate_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_issue__another_ca_is_not_trusted_until_it_is_in_the_bundle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key__fits_its_own_certificate_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issue__leaf_ends_with_its_ca, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issue__bad_input_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
