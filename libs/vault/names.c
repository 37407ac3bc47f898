/* Object names of one source. Numbers are padded so that a listing in byte order is a listing in
 * number order. */
#include "vault/names.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"

#define BELOW_MAX 100000u /* names alone must not fill the memory */

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

/* Listing skips from one to the next: the name behind all that begin with "<one>/". */
struct hf_status vault_names_below(struct hf_ctx *ctx, struct objstore *store, const char *below,
                                   const char ***ret_prefixes, size_t *ret_len)
{
    const char *after = NULL;
    HF_VEC(const char *) prefixes = {0};

    for (;;) {
        struct objstore_page page = {0};
        const char *name;
        const char *prefix;

        HF_TRY(objstore_list(ctx, store, below, after, 1, &page));
        if (page.len == 0) {
            break;
        }
        if (prefixes.len == BELOW_MAX) {
            return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "%s has more than %u directories",
                           below, BELOW_MAX);
        }
        name = page.entries[0].name;
        after = name;
        if (strchr(name + strlen(below), '/') == NULL) {
            continue; /* a file beside them is somebody else's */
        }
        prefix = hf_strndup(ctx->arena, name, strlen(below) + strcspn(name + strlen(below), "/"));
        *HF_VEC_ADD(ctx->arena, &prefixes) = prefix;
        after = hf_printf(ctx->arena, "%s/\x7f", prefix);
    }
    *ret_prefixes = prefixes.items;
    *ret_len = prefixes.len;
    return hf_success();
}
