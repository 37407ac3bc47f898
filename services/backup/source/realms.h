/* Keyrings of the tenants, opened once and kept. A tenant's realm is made with its first use.
 * Threads: any. */
#ifndef HF_BACKUP_SOURCE_REALMS_H
#define HF_BACKUP_SOURCE_REALMS_H

#include "base/ctx.h"
#include "db/db.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

struct realms;

struct realms_options {
    struct objstore *vault;
    struct db *db;
    const char *kek_path;
    const char *signing_key_path;
    const char *escrow_public_path; /* 64 hex digits; NULL: no escrow */
};

/* Loads the key-encryption key; NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT name the file. */
struct hf_status realms_new(struct hf_ctx *ctx, const struct realms_options *options,
                            struct realms **ret_realms) HF_MUST_USE;
void realms_free(struct realms *realms); /* accepts NULL; wipes */

/* The keyring of a tenant (by id and name), borrowed until realms_free.
 * Errors   FAILED_PRECONDITION KEYS_MISSING (the tenant has stored something, says the vault or the
 *          catalogue, and the vault has no keys of it); those of vault_keyring_open and libs/db */
struct hf_status realms_get(struct hf_ctx *ctx, struct realms *realms, const char *tenant_id,
                            const char *tenant,
                            const struct vault_keyring **ret_keyring) HF_MUST_USE;
/* Does the vault still hold the tenant's keys that this process seals with? When its slots are gone
 * it is written again. After realms_get.
 * Errors   FAILED_PRECONDITION KEYS_REPLACED, WRONG_KEY; DATA_LOSS */
struct hf_status realms_keep(struct hf_ctx *ctx, struct realms *realms,
                             const char *tenant) HF_MUST_USE;

#endif
