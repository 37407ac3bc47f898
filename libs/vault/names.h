/* Where the objects of one source live: "<prefix>/<kind>/<name>", prefix being
 * "tenants/<realm>/sources/<source>". All results are in the given arena. Pure, but
 * for the listing. */
#ifndef HF_VAULT_NAMES_H
#define HF_VAULT_NAMES_H

#include <stdint.h>

#include "base/arena.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

/* What every operation on one source's objects needs. Borrowed by whoever gets it. */
struct vault_place {
    struct objstore *store;
    const struct vault_keyring *keyring;
    const char *prefix; /* no slash at the end */
};

/* packs/<number, 12 digits or more>-<id hex>: byte order is number order up to 10^12. */
char *vault_name_pack(struct hf_arena *arena, const char *prefix, uint64_t number,
                      const uint8_t id[VAULT_ID_LEN]);
/* maps/<id hex>: a table of the map. */
char *vault_name_map(struct hf_arena *arena, const char *prefix, const uint8_t id[VAULT_ID_LEN]);
/* tables/<id hex>: a table of packs. */
char *vault_name_table(struct hf_arena *arena, const char *prefix, const uint8_t id[VAULT_ID_LEN]);
/* roots/<backup id>, or roots/<backup id>-<attempt> from the second attempt on. */
char *vault_name_root(struct hf_arena *arena, const char *prefix, const char *backup_id,
                      unsigned attempt);

/* Each "<below><name>" that has objects below it ("<below><name>/…"); below ends with a slash. In
 * ctx->arena. RESOURCE_EXHAUSTED more than anybody has. */
struct hf_status vault_names_below(struct hf_ctx *ctx, struct objstore *store, const char *below,
                                   const char ***ret_prefixes, size_t *ret_len) HF_MUST_USE;

#endif
