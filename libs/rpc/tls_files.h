/* Certificate files in memory. Inside libs/rpc only. */
#ifndef RPC_TLS_FILES_H
#define RPC_TLS_FILES_H

#include "rpc/tls.h"

/* PEM texts, NUL-terminated, in the arena they were loaded into. */
struct rpc_tls_pem {
    const char *ca;
    const char *cert;
    const char *key;
};

/* Read the three files. FAILED_PRECONDITION CERTIFICATE_MISSING or CERTIFICATE_UNREADABLE. */
struct hf_status rpc_tls_load(struct hf_arena *arena, const struct rpc_tls_files *files,
                              struct rpc_tls_pem *ret_pem) HF_MUST_USE;
/* Errors of rpc_tls_check but the above. */
struct hf_status rpc_tls_judge(struct hf_arena *arena, const struct rpc_tls_files *files,
                               const struct rpc_tls_pem *pem) HF_MUST_USE;

#endif
