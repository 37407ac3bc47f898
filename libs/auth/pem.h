/* Certificates that a user uploads: read once, strictly, and written anew, so that what is kept is
 * what was understood. */
#ifndef HF_AUTH_PEM_H
#define HF_AUTH_PEM_H

#include "base/ctx.h"

#define PEM_TEXT_MAX ((size_t)64 << 10)
#define PEM_CERTIFICATES_MAX 32
#define PEM_CA_TEXT_MAX ((size_t)512 << 10) /* a system's whole bundle has 220 KiB */
#define PEM_CA_CERTIFICATES_MAX 512
#define PEM_KEY_RSA_MAX 4096         /* bits: signing takes 0.01 s, with 32,768 a minute */
#define PEM_CERTIFICATE_RSA_MAX 8192 /* whoever only verifies is faster */

/* NULL or "" is none. */
struct pem_texts {
    const char *ca;
    const char *cert; /* with the chain behind it */
    const char *key;
};

/* Whole PEM certificates and an unencrypted private key that fits the first certificate. No other
 * block, no passphrase, no name of an engine or provider. Keys, those of all certificates, too, are
 * RSA within the bounds above, EC on P-256, P-384 or P-521, or Ed25519.
 * Errors   INVALID_ARGUMENT reasons CA_INVALID, CERTIFICATE_INVALID, KEY_INVALID, KEY_ENCRYPTED,
 *          KEY_MISMATCH, KEY_TOO_LARGE, KEY_NOT_SUPPORTED, CERTIFICATE_WITHOUT_KEY,
 *          KEY_WITHOUT_CERTIFICATE; messages say which certificate of several, by number and
 *          subject, and repeat no other text */
struct hf_status pem_check(struct hf_ctx *ctx, const struct pem_texts *given,
                           struct pem_texts *ret_texts) HF_MUST_USE;

#endif
