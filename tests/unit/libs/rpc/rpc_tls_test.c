/* Certificate files judged, identities parsed, and what the server does with clients that it must
 * refuse; the clients here are plain OpenSSL, because ours would not even dial. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "harness.h"
#include "rpc/peer.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    *state = harness_new();
    return 0;
}

static int teardown(void **state)
{
    harness_free(*state);
    return 0;
}

static int dial(const struct harness *h)
{
    const struct timeval patience = {.tv_sec = 5};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)rpc_server_port(h->server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const void *generic = &address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HF_CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    HF_CHECK(connect(fd, generic, sizeof(address)) == 0);
    return fd;
}

/* Does the server talk HTTP/2 to a client with these files (NULL: no certificate)? The serial of
 * the server's certificate is noted. */
static bool is_served(const struct harness *h, const struct rpc_tls_files *files, long *ret_serial)
{
    static const unsigned char h2[] = "\x02h2";
    uint8_t frame[9];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    HF_CHECK(context != NULL && SSL_CTX_set_alpn_protos(context, h2, sizeof(h2) - 1) == 0);
    if (files != NULL) {
        HF_CHECK(SSL_CTX_use_certificate_chain_file(context, files->cert_file) == 1);
        HF_CHECK(SSL_CTX_use_PrivateKey_file(context, files->key_file, SSL_FILETYPE_PEM) == 1);
    }
    SSL *ssl = SSL_new(context);
    int fd = dial(h);
    HF_CHECK(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
    bool is_good = SSL_connect(ssl) == 1 && SSL_read(ssl, frame, sizeof(frame)) > 0;
    X509 *cert = SSL_get1_peer_certificate(ssl);
    if (cert != NULL) {
        *ret_serial = ASN1_INTEGER_get(X509_get0_serialNumber(cert));
    }
    X509_free(cert);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return is_good;
}

static void test_tls__server_refuses_strangers(void **state)
{
    struct harness *h = *state;
    long serial = 0;
    harness_serve(h);
    const struct test_leaf leaf = {"spiffe://" TEST_INSTALL "/client/eve", -60, 3600, 9};
    const struct test_leaf old = {"spiffe://" TEST_INSTALL "/client/ann", -3600, -60, 10};
    struct test_ca *other = test_ca_new();
    struct rpc_tls_files stranger = test_leaf_write(h->arena, other, h->dir, "stranger", &leaf);
    struct rpc_tls_files expired = test_leaf_write(h->arena, h->ca, h->dir, "expired", &old);
    assert_true(is_served(h, &h->client_files, &serial));
    assert_int_equal(serial, 2);
    assert_false(is_served(h, NULL, &serial));
    assert_false(is_served(h, &stranger, &serial));
    assert_false(is_served(h, &expired, &serial));
    assert_true(is_served(h, &h->client_files, &serial));
    test_ca_free(other);
}

static void test_tls__server_reads_new_certificate(void **state)
{
    struct harness *h = *state;
    long serial = 0;
    harness_serve(h);
    assert_true(is_served(h, &h->client_files, &serial));
    assert_int_equal(serial, 2);
    const struct test_leaf renewed = {"spiffe://" TEST_INSTALL "/service/backup", -60, 3600, 77};
    (void)test_leaf_write(h->arena, h->ca, h->dir, "server", &renewed);
    assert_true(is_served(h, &h->client_files, &serial));
    assert_int_equal(serial, 77);
    /* Half of a replacement: the old certificate stays. */
    assert_true(hf_is_ok(hf_replace_file(h->arena, h->server_files.key_file, "x", 1, 0600)));
    assert_true(is_served(h, &h->client_files, &serial));
    assert_int_equal(serial, 77);
}

/* "…/client/ann", NUL, more: for a C string the name of somebody else. */
static const char *name_with_nul(struct hf_arena *arena)
{
    static const char uri[] = "spiffe://" TEST_INSTALL "/client/ann\0.example.org";
    uint8_t der[128] = {0x30, (uint8_t)(sizeof(uri) + 1), 0x86, (uint8_t)(sizeof(uri) - 1)};

    assert_true(sizeof(uri) + 4 < 128);
    memcpy(der + 4, uri, sizeof(uri) - 1);
    return hf_printf(arena, "DER:%s", hf_hex(arena, der, sizeof(uri) + 3));
}

static void test_tls__other_installation_is_unauthenticated(void **state)
{
    static const char *const uris[] = {
        "spiffe://0190a1b2-c3d4-7e5f-8a6b-000000000000/client/ann",
        "spiffe://" TEST_INSTALL "/robot/ann",
        "https://example.org/client/ann",
        "spiffe://" TEST_INSTALL "/client/ann,URI:spiffe://" TEST_INSTALL "/client/eve",
        NULL,
        NULL,
    };
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    harness_serve(h);
    for (size_t i = 0; i < HF_LEN(uris); i++) {
        const char *uri = i == HF_LEN(uris) - 1 ? name_with_nul(h->arena) : uris[i];
        const struct test_leaf leaf = {uri, -60, 3600, 20};
        const struct rpc_client_config config = {
            .target = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server)),
            .tls = test_leaf_write(h->arena, h->ca, h->dir, "other", &leaf),
        };
        rpc_client_free(h->client);
        assert_int_equal(rpc_client_new(h->arena, &config, &h->client).code, HF_OK);
        assert_int_equal(harness_get(h, &h->ctx, "x", &job).code, HF_UNAUTHENTICATED);
    }
    assert_int_equal(atomic_load(&h->calls), 0);
}

static void test_tls__client_refuses_false_server(void **state)
{
    struct harness *h = *state;
    const PbJobs__Job *job = NULL;
    harness_serve(h);
    struct test_ca *other = test_ca_new();
    const struct test_leaf leaf = {"spiffe://" TEST_INSTALL "/client/ann", -60, 3600, 9};
    const struct rpc_client_config config = {
        .target = hf_printf(h->arena, "127.0.0.1:%d", rpc_server_port(h->server)),
        .tls = test_leaf_write(h->arena, other, h->dir, "other", &leaf),
    };
    rpc_client_free(h->client);
    assert_int_equal(rpc_client_new(h->arena, &config, &h->client).code, HF_OK);
    struct hf_status status = harness_get(h, &h->ctx, "x", &job);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    test_ca_free(other);
}

static void assert_reason(struct harness *h, const struct rpc_tls_files *files, const char *reason,
                          const char *file)
{
    struct rpc_client *client = NULL;
    const struct rpc_client_config config = {.target = "127.0.0.1:1", .tls = *files};
    struct hf_status status = rpc_client_new(h->arena, &config, &client);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_non_null(status.info);
    assert_string_equal(status.info->reason, reason);
    assert_non_null(strstr(status.message, file));
    assert_non_null(strstr(status.message, "holdfast certs issue"));
}

static void test_tls__own_files_are_judged_before_dialing(void **state)
{
    struct harness *h = *state;
    const struct test_leaf old = {"spiffe://" TEST_INSTALL "/client/ann", -3600, -60, 10};
    const struct test_leaf early = {"spiffe://" TEST_INSTALL "/client/ann", 600, 3600, 11};
    struct rpc_tls_files files = test_leaf_write(h->arena, h->ca, h->dir, "expired", &old);
    assert_reason(h, &files, "CERTIFICATE_EXPIRED", files.cert_file);
    files = test_leaf_write(h->arena, h->ca, h->dir, "early", &early);
    assert_reason(h, &files, "CERTIFICATE_NOT_YET_VALID", files.cert_file);
    files = h->client_files;
    files.key_file = h->server_files.key_file;
    assert_reason(h, &files, "CERTIFICATE_KEY_MISMATCH", files.key_file);
    files.key_file = hf_path_join(h->arena, h->dir, "absent");
    assert_reason(h, &files, "CERTIFICATE_MISSING", files.key_file);
    files.key_file = files.cert_file;
    assert_reason(h, &files, "CERTIFICATE_UNREADABLE", files.key_file);
    struct test_ca *other = test_ca_new();
    const struct test_leaf leaf = {"spiffe://" TEST_INSTALL "/client/ann", -60, 3600, 12};
    files = test_leaf_write(h->arena, other, h->dir, "other", &leaf);
    files.ca_file = h->client_files.ca_file;
    assert_reason(h, &files, "CERTIFICATE_UNTRUSTED", files.cert_file);
    test_ca_free(other);
}

static void test_identity__is_parsed_whole_or_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "spiffe://",
        "spiffe://" TEST_INSTALL,
        "spiffe://" TEST_INSTALL "/client",
        "spiffe://" TEST_INSTALL "/client/",
        "spiffe://" TEST_INSTALL "/client/Ann",
        "spiffe://" TEST_INSTALL "/client/ann/",
        "spiffe://" TEST_INSTALL "/client/ann/x",
        "spiffe://" TEST_INSTALL "/clients/ann",
        "spiffe://somewhere/client/ann",
        "http://" TEST_INSTALL "/client/ann",
    };
    struct harness *h = *state;
    struct rpc_peer peer = {0};
    assert_int_equal(
        rpc_identity_parse(h->arena, "spiffe://" TEST_INSTALL "/agent/db-1", &peer).code, HF_OK);
    assert_string_equal(peer.install, TEST_INSTALL);
    assert_int_equal(peer.kind, RPC_PEER_AGENT);
    assert_string_equal(peer.name, "db-1");
    assert_string_equal(rpc_peer_kind_name(peer.kind), "agent");
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_int_equal(rpc_identity_parse(h->arena, bad[i], &peer).code, HF_UNAUTHENTICATED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tls__server_refuses_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls__server_reads_new_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls__other_installation_is_unauthenticated, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_tls__client_refuses_false_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls__own_files_are_judged_before_dialing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_identity__is_parsed_whole_or_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
