/* Listing of WAL objects.
 *
 * Surprise: objects vanish while they are listed (a slice is closed under another name, a segment
 * is compacted). Whoever meets such a hole sees the whole segment again.
 */
#include "vault/wal_walk.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"

#define PAGE_NAMES 1000u
#define PAGE_ARENA ((size_t)8 << 20)
#define AGAIN_MAX 8 /* times one walk may list a segment again */

char *vault_wal_segment_dir(struct hf_arena *arena, const struct vault_wal_place *place,
                            uint32_t timeline, uint64_t segno)
{
    return hf_printf(arena, "%s/wal/%s/%08" PRIx32 "/%016" PRIx64, place->prefix, place->lineage,
                     timeline, segno);
}

static const char *walk_prefix(struct hf_arena *arena, const struct vault_wal_walk *walk)
{
    const struct vault_wal_place *place = walk->place;

    if (walk->is_segment) {
        return hf_printf(arena, "%s/",
                         vault_wal_segment_dir(arena, place, walk->timeline, walk->segno));
    }
    if (walk->timeline != 0) {
        return hf_printf(arena, "%s/wal/%s/%08" PRIx32 "/", place->prefix, place->lineage,
                         walk->timeline);
    }
    return hf_printf(arena, "%s/wal/%s/", place->prefix, place->lineage);
}

struct cursor {
    char after[OBJSTORE_NAME_MAX + 1]; /* "": from the start; may be a name that is not ours */
    int again;
    bool is_complete;
};

static void move_to(struct cursor *cursor, const char *name)
{
    size_t len = strlen(name);

    HF_CHECK(len < sizeof(cursor->after));
    memcpy(cursor->after, name, len + 1);
}

/* Visit one page; the cursor ends behind it, or before a segment that must be seen again. */
static struct hf_status walk_page(struct hf_ctx *ctx, const struct vault_wal_walk *walk,
                                  const char *prefix, struct cursor *cursor)
{
    struct objstore_page page = {0};

    HF_TRY(objstore_list(ctx, walk->store, prefix, cursor->after[0] == '\0' ? NULL : cursor->after,
                         PAGE_NAMES, &page));
    for (size_t i = 0; i < page.len; i++) {
        struct vault_wal_name name = {0};
        struct hf_status status;

        if (!vault_wal_name_parse(walk->place, page.entries[i].name, &name)) {
            continue;
        }
        status = walk->fn(ctx, walk->arg, &name, page.entries[i].name, page.entries[i].size_bytes);
        if (status.code == HF_NOT_FOUND && cursor->again < AGAIN_MAX) {
            cursor->again++;
            move_to(cursor,
                    vault_wal_segment_dir(ctx->arena, walk->place, name.timeline, name.segno));
            return hf_success();
        }
        HF_TRY(status);
    }
    if (page.len > 0) {
        move_to(cursor, page.entries[page.len - 1].name);
    }
    cursor->is_complete = page.is_complete || page.len == 0;
    return hf_success();
}

struct hf_status vault_wal_walk(struct hf_ctx *ctx, const struct vault_wal_walk *walk)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(PAGE_ARENA);
    struct cursor cursor = {0};
    struct hf_ctx sub = *ctx;

    sub.arena = arena;
    while (!cursor.is_complete) {
        struct hf_status status;

        HF_TRY(hf_ctx_check(ctx));
        hf_arena_reset(arena);
        status = walk_page(&sub, walk, walk_prefix(arena, walk), &cursor);
        if (status.code != HF_OK) {
            return hf_status_copy(ctx->arena, status);
        }
    }
    return hf_success();
}
