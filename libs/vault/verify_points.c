/* Which points does a damaged object concern? Roots answer: by their bitmap for packs, by their
 * lists for tables. */
#include <string.h>

#include "base/vec.h"
#include "vault/table_io.h"
#include "vault/verify.h"

#define ROOT_ARENA_MAX ((size_t)512 << 20)

/* The part of an object's name after "<prefix>/<kind>/", NULL when it is of another kind. */
static const char *name_in(struct hf_arena *arena, const char *prefix, const char *kind,
                           const char *object)
{
    const char *dir = hf_printf(arena, "%s/%s/", prefix, kind);

    return hf_has_prefix(object, dir) ? object + strlen(dir) : NULL;
}

static bool has_table(const struct vault_table_ref *refs, size_t len, const char *id_hex)
{
    uint8_t id[VAULT_ID_LEN];

    if (!hf_unhex(id_hex, id, sizeof(id))) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (memcmp(refs[i].id, id, sizeof(id)) == 0) {
            return true;
        }
    }
    return false;
}

static bool uses(struct hf_arena *arena, const struct vault_place *place,
                 const struct vault_root *root, const char *object)
{
    const char *name = name_in(arena, place->prefix, "packs", object);
    uint64_t number = 0;

    if (name != NULL) {
        const char *digits = hf_strndup(arena, name, strcspn(name, "-"));
        return hf_parse_u64(digits, &number) && vault_root_uses_pack(root, number);
    }
    name = name_in(arena, place->prefix, "maps", object);
    if (name != NULL) {
        return has_table(root->map.tables, root->map.tables_len, name);
    }
    name = name_in(arena, place->prefix, "tables", object);
    return name != NULL && has_table(root->pack_tables, root->pack_tables_len, name);
}

static struct hf_status point_uses(struct hf_ctx *ctx, const struct vault_place *place,
                                   const struct vault_point_info *point, const char *object,
                                   bool *ret_uses)
{
    struct vault_root root;

    if (strcmp(point->root, object) == 0) {
        *ret_uses = true;
        return hf_success();
    }
    struct hf_status status = vault_root_open(ctx, place, point->root, point->root_sha256, &root);
    if (status.code == HF_DATA_LOSS || status.code == HF_NOT_FOUND) {
        *ret_uses = true;
        return hf_success();
    }
    HF_TRY(status);
    *ret_uses = uses(ctx->arena, place, &root, object);
    return hf_success();
}

/* NOLINTNEXTLINE(readability-function-size): an array counts two parameters */
struct hf_status vault_points_using(struct hf_ctx *ctx, const struct vault_place *place,
                                    const struct vault_point_info *points, size_t points_len,
                                    const char *object, size_t **ret_indexes, size_t *ret_len)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ROOT_ARENA_MAX);
    HF_VEC(size_t) indexes = {0};
    struct hf_ctx own = *ctx;

    own.arena = arena;
    for (size_t i = 0; i < points_len; i++) {
        bool is_user = false;
        hf_arena_reset(arena);
        HF_TRY(hf_ctx_check(ctx));
        struct hf_status status = point_uses(&own, place, &points[i], object, &is_user);
        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
        if (is_user) {
            *HF_VEC_ADD(ctx->arena, &indexes) = i;
        }
    }
    *ret_indexes = indexes.items;
    *ret_len = indexes.len;
    return hf_success();
}
