/* Where tablespaces go. The backup says where they were; that is foreign text and moves nothing by
 * itself: the operator says one by one, one directory for all, or that the recorded places are
 * right. What nobody placed is told with its size before anything is written. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "pgformat/path.h"
#include "restore/internal.h"

#define TOLD_MAX 16 /* tablespaces that a refusal names */

/* One of the backup. */
struct space {
    uint32_t oid;
    const char *recorded;
    const char *path; /* where it goes; NULL: nobody said */
    uint64_t bytes;   /* of its files */
};

struct spaces {
    struct space *items; /* rising oid */
    size_t len;
};

static int compare_spaces(const void *a, const void *b)
{
    const struct space *x = a;
    const struct space *y = b;

    return x->oid < y->oid ? -1 : x->oid > y->oid;
}

/* --- placing -------------------------------------------------------------------------------- */

static bool is_meant(const struct restore_tablespace *mapping, const struct space *space)
{
    uint64_t oid = 0;

    return hf_text_equal(mapping->old_location, space->recorded) ||
           (hf_parse_u64(mapping->old_location, &oid) && oid == space->oid);
}

static struct hf_status check_once(struct restore *restore, const struct spaces *spaces)
{
    const struct restore_options *options = restore->options;

    for (size_t i = 0; i < spaces->len; i++) {
        const struct space *space = &spaces->items[i];
        size_t said = 0;

        for (size_t k = 0; k < options->tablespaces_len; k++) {
            said += is_meant(&options->tablespaces[k], space) ? 1 : 0;
        }
        if (said > 1) {
            return hf_fail(restore->ctx->arena, HF_INVALID_ARGUMENT,
                           "tablespace %" PRIu32 " is given %zu places; it can have one",
                           space->oid, said);
        }
    }
    return hf_success();
}

static struct hf_status check_mapping(struct restore *restore, const struct spaces *spaces)
{
    const struct restore_options *options = restore->options;
    struct hf_arena *arena = restore->ctx->arena;

    if (options->tablespaces_into != NULL && options->tablespaces_as_recorded) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "tablespaces go either into one directory or where they were recorded");
    }
    for (size_t i = 0; i < options->tablespaces_len; i++) {
        bool is_known = false;

        for (size_t k = 0; k < spaces->len; k++) {
            is_known = is_known || is_meant(&options->tablespaces[i], &spaces->items[k]);
        }
        if (!is_known) {
            return hf_fail(arena, HF_NOT_FOUND, "the backup has no tablespace %s",
                           options->tablespaces[i].old_location);
        }
    }
    return check_once(restore, spaces);
}

static const char *place_of(struct restore *restore, const struct space *space)
{
    const struct restore_options *options = restore->options;

    for (size_t i = 0; i < options->tablespaces_len; i++) {
        if (is_meant(&options->tablespaces[i], space)) {
            return options->tablespaces[i].new_location;
        }
    }
    if (options->tablespaces_into != NULL) {
        return hf_path_join(restore->ctx->arena, options->tablespaces_into,
                            hf_printf(restore->ctx->arena, "%" PRIu32, space->oid));
    }
    return options->tablespaces_as_recorded ? space->recorded : NULL;
}

/* --- refusing ------------------------------------------------------------------------------- */

static void count_bytes(struct spaces *spaces, const struct vault_attrs *attrs)
{
    struct space key = {0};
    const char *rest = NULL;

    if (attrs->node != VAULT_NODE_FILE || !pgf_path_in_tablespace(attrs->path, &key.oid, &rest)) {
        return;
    }
    struct space *found = bsearch(&key, spaces->items, spaces->len, sizeof(key), compare_spaces);

    if (found != NULL && found->bytes <= UINT64_MAX - attrs->size_bytes) {
        found->bytes += attrs->size_bytes;
    }
}

/* The map has no totals of directories: it is read through once. */
static struct hf_status count_all(struct restore *restore, const struct vault_root *root,
                                  struct spaces *spaces)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    const struct vault_map_entry *entry = NULL;
    struct hf_ctx *ctx = restore->ctx;

    HF_TRY(vault_map_iter_new(ctx, &restore->place, &root->map, 0, root->map.shards_len, &iter));
    do {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_map_iter_next(ctx, iter, &entry));
        if (entry != NULL && entry->segment == 0) {
            count_bytes(spaces, &entry->attrs);
        }
    } while (entry != NULL);
    return hf_success();
}

/* Metadata: "16400" → "1.2 MiB in /srv/space". */
static struct hf_status refuse(struct restore *restore, const struct spaces *spaces)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *metadata[2 * TOLD_MAX + 1] = {NULL};
    const char *list = "";
    size_t told = 0;
    size_t all = 0;

    for (size_t i = 0; i < spaces->len; i++) {
        const struct space *space = &spaces->items[i];

        if (space->path != NULL || ++all > TOLD_MAX) {
            continue;
        }
        metadata[2 * told] = hf_printf(arena, "%" PRIu32, space->oid);
        metadata[2 * told + 1] = hf_printf(arena, "%s in %s", hf_size_text(arena, space->bytes),
                                           restore_shown(arena, space->recorded));
        list = hf_printf(arena, "%s%s%s (%s)", list, told == 0 ? "" : ", ", metadata[2 * told],
                         metadata[2 * told + 1]);
        told++;
    }
    const char *more = all > told ? hf_printf(arena, " and %zu more", all - told) : "";

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "TABLESPACES_NOT_PLACED", metadata,
                        "the backup has tablespaces, and nobody said where they go: %s%s", list,
                        more);
}

/* --- the story ------------------------------------------------------------------------------ */

static struct hf_status load(struct restore *restore, const struct vault_root *root,
                             struct spaces *ret_spaces)
{
    struct hf_arena *arena = restore->ctx->arena;
    const char *text = vault_root_fact(root, "tablespace_map");
    const struct pgf_tablespace *stored = NULL;
    struct spaces spaces = {0};

    HF_TRY(pgf_tablespace_map_parse(arena, hf_str_of(text), &stored, &spaces.len));
    spaces.items = HF_NEW_N(arena, struct space, spaces.len + 1);
    for (size_t i = 0; i < spaces.len; i++) {
        spaces.items[i] = (struct space){.oid = stored[i].oid, .recorded = stored[i].path};
    }
    if (spaces.len > 1) {
        qsort(spaces.items, spaces.len, sizeof(spaces.items[0]), compare_spaces);
    }
    *ret_spaces = spaces;
    return hf_success();
}

static void add_dir(struct restore *restore, const struct space *space)
{
    *HF_VEC_ADD(restore->ctx->arena, &restore->dirs) = (struct restore_dir){.path = space->path,
                                                                            .oid = space->oid,
                                                                            .bytes = space->bytes,
                                                                            .found = {.fd = -1},
                                                                            .fd = -1,
                                                                            .parent = -1};
}

struct hf_status restore_dirs_choose(struct restore *restore, const struct vault_root *root)
{
    struct spaces spaces = {0};
    bool is_placed = true;

    HF_TRY(load(restore, root, &spaces));
    HF_TRY(check_mapping(restore, &spaces));
    if (spaces.len > 0) {
        HF_TRY(count_all(restore, root, &spaces));
    }
    add_dir(restore, &(struct space){.path = restore->options->dir});
    for (size_t i = 0; i < spaces.len; i++) {
        spaces.items[i].path = place_of(restore, &spaces.items[i]);
        is_placed = is_placed && spaces.items[i].path != NULL;
        add_dir(restore, &spaces.items[i]);
    }
    return is_placed ? hf_success() : refuse(restore, &spaces);
}
