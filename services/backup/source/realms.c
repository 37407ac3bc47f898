/* One keyring per tenant. The lock is held while a keyring is opened: that is one small read of the
 * vault (and of the catalogue, when there is no key) per tenant and process, and two openings at
 * once would race to create the realm. */
#include "backup/source/realms.h"

#include <string.h>

#include "backup/store/clusters.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/str.h"

struct realms {
    struct hf_lock keyrings_lock;
    struct hf_map *keyrings; /* tenant name → struct vault_keyring */

    struct objstore *vault;
    struct db *db;
    char *signing_key_path;
    bool has_escrow;
    uint8_t escrow[VAULT_KEY_LEN];
    uint8_t *kek; /* VAULT_KEY_LEN, locked */
};

struct hf_status realms_new(struct hf_ctx *ctx, const struct realms_options *options,
                            struct realms **ret_realms)
{
    struct realms *realms = hf_heap_alloc(sizeof(*realms));

    realms->kek = hf_secret_alloc(VAULT_KEY_LEN);
    struct hf_status status = vault_kek_load(ctx, options->kek_path, realms->kek);

    hf_lock_init(&realms->keyrings_lock);
    realms->keyrings = hf_map_new();
    realms->vault = options->vault;
    realms->db = options->db;
    realms->signing_key_path = hf_heap_strdup(options->signing_key_path);
    if (hf_is_ok(status) && options->escrow_public_path != NULL) {
        status = vault_escrow_load(ctx, options->escrow_public_path, realms->escrow);
        realms->has_escrow = hf_is_ok(status);
    }
    if (!hf_is_ok(status)) {
        realms_free(realms);
        return status;
    }
    *ret_realms = realms;
    return hf_success();
}

static bool free_keyring(const char *key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    vault_keyring_free(value);
    return true;
}

void realms_free(struct realms *realms)
{
    if (realms == NULL) {
        return;
    }
    hf_map_each(realms->keyrings, free_keyring, NULL);
    hf_map_free(realms->keyrings);
    hf_lock_done(&realms->keyrings_lock);
    hf_secret_free(realms->kek);
    hf_heap_free(realms->signing_key_path);
    hf_heap_free(realms);
}

/* A vault that was brought to a new installation with its key file alone: the signing key here is
 * new, and whoever has the key file may list it. */
static struct hf_status enrol_signer(struct hf_ctx *ctx, struct objstore *vault,
                                     const struct vault_realm_options *options)
{
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *keyring = NULL;
    const struct vault_realm_options reader = {.realm = options->realm, .kek = options->kek};

    HF_TRY(vault_keyring_open(ctx, vault, &reader, &keyring));
    struct hf_status status = vault_keyring_rotate(ctx, vault, keyring, options, false);

    if (status.code == HF_ABORTED) {
        return hf_success(); /* another process did it at the same time; opening again tells */
    }
    HF_TRY(status);
    hf_warn(ctx, HF_EVENT("vault.signer.enrolled"), HF_TEXT("realm", options->realm));
    return hf_success();
}

static struct vault_realm_options options_of(const struct realms *realms, const char *tenant)
{
    return (struct vault_realm_options){
        .realm = tenant,
        .kek = realms->kek,
        .signing_key_path = realms->signing_key_path,
        .escrow_public =
            realms->has_escrow ? (const uint8_t(*)[VAULT_KEY_LEN]) & realms->escrow : NULL,
    };
}

/* A tenant whose folder is gone from the vault, or is not listed, looks like one that never was;
 * the catalogue knows better: a journal has begun before anything is stored. */
static struct hf_status check_new(struct hf_ctx *ctx, const struct realms *realms,
                                  const char *tenant_id, const char *tenant)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    bool has_journal = false;

    HF_TRY(db_tx_begin(ctx, realms->db, tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_have_journal(ctx, tx, &has_journal));
    HF_TRY(db_tx_commit(ctx, &tx));
    return has_journal
               ? vault_keys_missing(
                     ctx->arena, tenant,
                     hf_printf(ctx->arena,
                               "tenant %s has stored backups, but the vault shows neither them nor "
                               "their keys; put tenants/%s/ back from a copy of the vault; when "
                               "there is none, start a new installation",
                               tenant, tenant))
               : hf_success();
}

static struct hf_status open_keyring(struct hf_ctx *ctx, struct realms *realms,
                                     const char *tenant_id, const char *tenant,
                                     struct vault_keyring **ret_keyring)
{
    struct vault_realm_options options = options_of(realms, tenant);
    struct hf_status status = vault_keyring_open(ctx, realms->vault, &options, ret_keyring);

    if (status.code == HF_NOT_FOUND) {
        HF_TRY(check_new(ctx, realms, tenant_id, tenant));
        options.create = true;
        status = vault_keyring_open(ctx, realms->vault, &options, ret_keyring);
    }
    if (status.info != NULL && hf_text_equal(status.info->reason, "UNKNOWN_SIGNING_KEY")) {
        HF_TRY(enrol_signer(ctx, realms->vault, &options));
        status = vault_keyring_open(ctx, realms->vault, &options, ret_keyring);
    }
    return hf_wrap(ctx->arena, status, "opening the keys of tenant %s", tenant);
}

struct hf_status realms_get(struct hf_ctx *ctx, struct realms *realms, const char *tenant_id,
                            const char *tenant, const struct vault_keyring **ret_keyring)
{
    struct hf_status status = hf_success();

    hf_lock_take(&realms->keyrings_lock);
    struct vault_keyring *keyring = hf_map_get(realms->keyrings, tenant);

    if (keyring == NULL) {
        status = open_keyring(ctx, realms, tenant_id, tenant, &keyring);
        if (hf_is_ok(status)) {
            (void)hf_map_put(realms->keyrings, tenant, keyring);
        }
    }
    hf_lock_release(&realms->keyrings_lock);
    if (hf_is_ok(status)) {
        *ret_keyring = keyring;
    }
    return status;
}

struct hf_status realms_keep(struct hf_ctx *ctx, struct realms *realms, const char *tenant)
{
    const struct vault_realm_options options = options_of(realms, tenant);
    bool was_gone = false;

    hf_lock_take(&realms->keyrings_lock);
    const struct vault_keyring *keyring = hf_map_get(realms->keyrings, tenant);

    hf_lock_release(&realms->keyrings_lock);
    if (keyring == NULL) {
        return hf_success();
    }
    HF_TRY(hf_wrap(ctx->arena, vault_keyring_keep(ctx, realms->vault, keyring, &options, &was_gone),
                   "looking after the keys of tenant %s", tenant));
    if (was_gone) {
        hf_error(ctx, HF_EVENT("vault.keys.restored"), HF_TEXT("realm", tenant),
                 HF_TEXT("why", "the key slot was gone from the vault"));
    }
    return hf_success();
}
