/* The recovery kit in the place of a lost key file. A takeover is one slot a realm, written
 * exclusively; what was sealed before is opened by the same keys, for a slot has all of them. So
 * after a crash between two realms each is opened by the new key or still by the kit. */
#include "vault/kit.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "codec/seal.h"
#include "vault/names.h"

#define TENANTS "tenants/"

struct hf_status vault_key_open(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                const struct vault_key *key, struct vault_keyring **ret_keyring)
{
    const struct vault_realm_options options = {.realm = realm, .kek = key->bytes};

    return key->is_kit ? vault_keyring_open_escrow(ctx, store, realm, key->bytes, ret_keyring)
                       : vault_keyring_open(ctx, store, &options, ret_keyring);
}

void vault_kit_public(const struct vault_key *kit, uint8_t ret_public[VAULT_KEY_LEN])
{
    HF_CHECK(kit->is_kit);
    codec_x25519_public(kit->bytes, ret_public);
}

/* OK: it is opened by options->kek from now on. */
static struct hf_status take_realm(struct hf_ctx *ctx, struct objstore *store,
                                   const struct vault_key *kit,
                                   const struct vault_realm_options *options, bool *ret_is_opened)
{
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *keyring = NULL;
    const struct vault_realm_options reader = {.realm = options->realm, .kek = options->kek};

    *ret_is_opened =
        options->kek != NULL && hf_is_ok(vault_keyring_open(ctx, store, &reader, &keyring));
    if (*ret_is_opened) {
        return hf_success();
    }
    HF_TRY(vault_key_open(ctx, store, options->realm, kit, &keyring));
    *ret_is_opened = true;
    return options->kek == NULL ? hf_success()
                                : vault_keyring_rotate(ctx, store, keyring, options, false);
}

/* Of a slot, and not of the store or of this call. */
static bool is_of_slot(struct hf_status status)
{
    return status.code == HF_FAILED_PRECONDITION || status.code == HF_DATA_LOSS ||
           status.code == HF_NOT_FOUND || status.code == HF_INVALID_ARGUMENT;
}

struct hf_status vault_kit_takeover(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_key *kit,
                                    const struct vault_realm_options *options,
                                    struct hf_status *ret_unopened)
{
    struct vault_realm_options own = *options;
    struct hf_status unopened = hf_success();
    const char **prefixes = NULL;
    size_t opened = 0;
    size_t len = 0;

    HF_CHECK(kit->is_kit);
    HF_TRY(vault_names_below(ctx, store, TENANTS, &prefixes, &len));
    for (size_t i = 0; i < len; i++) {
        bool is_opened = false;

        own.realm = prefixes[i] + strlen(TENANTS);
        struct hf_status status = take_realm(ctx, store, kit, &own, &is_opened);

        if (!hf_is_ok(status) && (is_opened || !is_of_slot(status))) {
            return status;
        }
        opened += is_opened ? 1 : 0;
        unopened = hf_is_ok(unopened) ? status : unopened;
    }
    if (opened == 0) {
        HF_TRY(unopened); /* OK: there is no realm, and so nothing that any key could miss */
    }
    *ret_unopened = unopened;
    return hf_success();
}
