/* The small built-in CA: EC P-256, SHA-256, X.509 v3. Identity is a URI SAN.
 *
 * Keys are written 0600, certificates 0644, each file fsynced and replaced atomically; private keys
 * never pass through messages or logs.
 */
#ifndef HF_AUTH_PKI_H
#define HF_AUTH_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/status.h"

#define PKI_DAY_S INT64_C(86400)

/* Make ca.crt and ca.key in dir (created 0700), valid for validity_s.
 * install_id  UUID text of the installation; becomes part of the CA's name
 * Errors   ALREADY_EXISTS when dir has a ca.key. */
struct hf_status pki_ca_create(struct hf_ctx *ctx, const char *dir, const char *install_id,
                               int64_t validity_s) HF_MUST_USE;

struct pki_request {
    const char *ca_dir;     /* has ca.crt and ca.key */
    const char *out_dir;    /* created 0700; gets tls.crt, tls.key, ca.crt */
    const char *install_id; /* UUID text */
    const char *kind;       /* "service", "client", "agent" */
    const char *name;       /* [a-z][a-z0-9-]{0,39} */
    bool is_server;         /* adds DNS localhost, IP 127.0.0.1 and ::1, serverAuth */
    const char *dns;        /* NULL or one more DNS name (server only) */
    int64_t validity_s;     /* services 86400; clients e.g. 90 days */
    int64_t not_before_us;  /* 0: now less five minutes (clock skew); tests set it */
};

/* Issue a leaf with SAN URI spiffe://<install_id>/<kind>/<name>; replaces what out_dir has.
 * Errors   NOT_FOUND no CA; INVALID_ARGUMENT name; FAILED_PRECONDITION the CA has expired */
struct hf_status pki_issue(struct hf_ctx *ctx, const struct pki_request *request) HF_MUST_USE;

/* What pki_issue writes, as PEM texts in ctx->arena; whoever has put the key away wipes it. */
struct pki_issued {
    const char *crt;
    char *key;
    const char *ca;
    int64_t not_after_us;
};

/* The same without files: out_dir is not used. */
struct hf_status pki_sign(struct hf_ctx *ctx, const struct pki_request *request,
                          struct pki_issued *ret_issued) HF_MUST_USE;

struct pki_facts {
    const char *uri; /* first URI SAN, "" when there is none */
    int64_t not_before_us;
    int64_t not_after_us;
    const char *serial; /* hex */
};

/* Read a PEM certificate file. NOT_FOUND; INVALID_ARGUMENT when it is not a certificate. */
struct hf_status pki_read(struct hf_ctx *ctx, const char *crt_path,
                          struct pki_facts *ret_facts) HF_MUST_USE;

/* Does the certificate chain to the CA now (or at time_us when not 0)?
 * Errors   UNAUTHENTICATED reason CERTIFICATE_EXPIRED or CERTIFICATE_INVALID, says why. */
struct hf_status pki_verify(struct hf_ctx *ctx, const char *crt_path, const char *ca_path,
                            int64_t time_us) HF_MUST_USE;

/* Does the key belong to the certificate? False when one of them cannot be read, too: they are two
 * files, and a crash between them leaves the new one beside the old one. */
bool pki_key_fits(struct hf_ctx *ctx, const char *crt_path, const char *key_path);

/* Append the file's PEM certificates that are not yet in the bundle (two roots during rotation). */
struct hf_status pki_bundle_add(struct hf_ctx *ctx, const char *bundle_path,
                                const char *crt_path) HF_MUST_USE;

#endif
