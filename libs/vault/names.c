/* Object names of one source. Numbers are padded so that a listing in byte order is a listing in
 * number order. */
#include "vault/names.h"

#include <inttypes.h>

#include "base/str.h"

char *vault_name_pack(struct hf_arena *arena, const char *prefix, uint64_t number,
                      const uint8_t id[VAULT_ID_LEN])
{
    return hf_printf(arena, "%s/packs/%012" PRIu64 "-%s", prefix, number,
                     hf_hex(arena, id, VAULT_ID_LEN));
}

char *vault_name_map(struct hf_arena *arena, const char *prefix, const uint8_t id[VAULT_ID_LEN])
{
    return hf_printf(arena, "%s/maps/%s", prefix, hf_hex(arena, id, VAULT_ID_LEN));
}

char *vault_name_table(struct hf_arena *arena, const char *prefix, const uint8_t id[VAULT_ID_LEN])
{
    return hf_printf(arena, "%s/tables/%s", prefix, hf_hex(arena, id, VAULT_ID_LEN));
}

char *vault_name_root(struct hf_arena *arena, const char *prefix, const char *backup_id,
                      unsigned attempt)
{
    if (attempt > 1) {
        return hf_printf(arena, "%s/roots/%s-%u", prefix, backup_id, attempt);
    }
    return hf_printf(arena, "%s/roots/%s", prefix, backup_id);
}
