/* Keyrings of the tenants, opened once and kept. A tenant's realm is made with its first use.
 * Threads: any. */
#ifndef HF_BACKUP_SOURCE_REALMS_H
#define HF_BACKUP_SOURCE_REALMS_H

#include "base/ctx.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

struct realms;

struct realms_options {
    struct objstore *vault;
    const char *kek_path;
    const char *signing_key_path;
    const char *escrow_public_path; /* 64 hex digits; NULL: no escrow */
};

/* Loads the key-encryption key; NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT name the file. */
struct hf_status realms_new(struct hf_ctx *ctx, const struct realms_options *options,
                            struct realms **ret_realms) HF_MUST_USE;
void realms_free(struct realms *realms); /* accepts NULL; wipes */

/* The keyring of a tenant (by name), borrowed until realms_free. */
struct hf_status realms_get(struct hf_ctx *ctx, struct realms *realms, const char *tenant,
                            const struct vault_keyring **ret_keyring) HF_MUST_USE;
/* Write the tenant's key slot again when it is gone from the vault while the process holds its
 * keys. After realms_get. */
struct hf_status realms_keep(struct hf_ctx *ctx, struct realms *realms,
                             const char *tenant) HF_MUST_USE;

#endif
