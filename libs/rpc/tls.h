/* Certificate files of one side of a mutual TLS connection. All PEM. Only mTLS is spoken. */
#ifndef RPC_TLS_H
#define RPC_TLS_H

#include "base/arena.h"
#include "base/status.h"

struct rpc_tls_files {
    const char *ca_file;   /* trust bundle, one or more roots */
    const char *cert_file; /* own leaf, then issuing certificates */
    const char *key_file;
    const char *below; /* NULL, or the directory of all three that others may write to: they are
                          read with hf_read_below */
};

/* Read and judge own files before they are used.
 *
 * Errors   FAILED_PRECONDITION with reason CERTIFICATE_MISSING, CERTIFICATE_UNREADABLE,
 *          CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_KEY_MISMATCH or
 *          CERTIFICATE_UNTRUSTED (not issued by ca_file); the message names the file and the
 *          command that makes a new one
 */
struct hf_status rpc_tls_check(struct hf_arena *arena,
                               const struct rpc_tls_files *files) HF_MUST_USE;

#endif
