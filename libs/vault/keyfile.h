/* Parsing of key files, inside libs/vault only; the public part is in vault/keyring.h. */
#ifndef HF_VAULT_KEYFILE_H
#define HF_VAULT_KEYFILE_H

#include "vault/keyring.h"

/* NOT_FOUND; INVALID_ARGUMENT; FAILED_PRECONDITION when others may read it. The caller wipes. */
struct hf_status vault_signing_key_load(struct hf_ctx *ctx, const char *path,
                                        uint8_t ret_private[VAULT_KEY_LEN]) HF_MUST_USE;
/* Private key from the text of a recovery kit, which may stand in other text, once; false: not one,
 * or a typing error. Pure. */
bool vault_escrow_parse(const char *text, uint8_t ret_private[VAULT_KEY_LEN]);

#endif
