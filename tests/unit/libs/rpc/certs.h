/* Certificates for tests, made on the spot. */
#ifndef TEST_RPC_CERTS_H
#define TEST_RPC_CERTS_H

#include <stdbool.h>

#include "base/arena.h"
#include "rpc/tls.h"

#define TEST_INSTALL "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

struct test_ca;

/* A new self-signed CA that lives a day. */
struct test_ca *test_ca_new(void);
void test_ca_free(struct test_ca *ca);

struct test_leaf {
    const char *uri; /* SAN URI, NULL: none; "DER:…" is the whole extension in hexadecimal */
    long from_s;     /* validity, seconds from now */
    long to_s;
    long serial;
};

/* Write dir/<name>.crt, dir/<name>.key and dir/<name>-ca.crt; the paths are in arena. */
struct rpc_tls_files test_leaf_write(struct hf_arena *arena, struct test_ca *ca, const char *dir,
                                     const char *name, const struct test_leaf *leaf);

/* What a certificate of ours does not have. */
struct test_oddity {
    const char *usage; /* extended key usage, NULL: none */
    int between;       /* certificates between root and leaf */
    bool is_no_ca;     /* the root itself must not sign: basicConstraints of the one above say so */
};
struct rpc_tls_files test_odd_leaf_write(struct hf_arena *arena, struct test_ca *ca,
                                         const char *dir, const char *name,
                                         const struct test_leaf *leaf,
                                         const struct test_oddity *oddity);

#endif
