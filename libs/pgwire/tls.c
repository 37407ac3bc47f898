/* What libpq made of the files that an old connection string names. Surprise: a list of revoked
 * certificates that it cannot read, and at sslmode=require an authority too, libpq passes over
 * without a word. So what its TLS will verify is looked at, not the files: whoever replaces one
 * meanwhile changes nothing. */
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "base/str.h"
#include "pgwire/internal.h"

/* Weaker modes go on without TLS when it fails: there is nothing to hold. */
static bool is_tls_kept(const char *mode)
{
    return mode != NULL && (strcmp(mode, "require") == 0 || hf_has_prefix(mode, "verify-"));
}

void pgwire_tls_note(const struct pgwire_dial *dial, struct pgwire_conn *conn)
{
    bool is_uploaded = dial->files->ca != NULL;
    const char *mode = pgwire_dsn_setting(dial->dsn, "sslmode");

    conn->wants_authority = (is_uploaded || pgwire_dsn_setting(dial->dsn, "sslrootcert") != NULL) &&
                            (mode == NULL ? is_uploaded : is_tls_kept(mode));
    conn->wants_revocation =
        conn->wants_authority && (pgwire_dsn_setting(dial->dsn, "sslcrl") != NULL ||
                                  pgwire_dsn_setting(dial->dsn, "sslcrldir") != NULL);
}

static bool is_verifying(const SSL *ssl)
{
    return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
}

static bool is_revoking(const SSL *ssl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));

    return (X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store)) & X509_V_FLAG_CRL_CHECK) != 0;
}

static struct hf_status unreadable(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                                   const char *keyword)
{
    const char *const metadata[] = {"host", conn->peer, "keyword", keyword, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "TLS_FILE_UNREADABLE", metadata,
                        "the file that \"%s\" of the connection string names cannot be read or "
                        "holds nothing that fits: %s could not be verified by it, and nothing was "
                        "said to it",
                        keyword, conn->peer);
}

struct hf_status pgwire_tls_check(struct hf_ctx *ctx, const struct pgwire_conn *conn)
{
    const SSL *ssl = PQsslStruct(conn->pg, "OpenSSL");

    if (ssl == NULL) {
        return hf_success();
    }
    if (conn->wants_authority && !is_verifying(ssl)) {
        return unreadable(ctx, conn, "sslrootcert");
    }
    if (conn->wants_revocation && !is_revoking(ssl)) {
        return unreadable(ctx, conn, "sslcrl");
    }
    return hf_success();
}
