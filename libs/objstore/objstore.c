/* Wrappers over a store's functions. The surprise: names are checked here and nowhere else, so a
 * store may trust that no name leaves its directory or bucket prefix. */
#include "objstore/objstore.h"

#include <string.h>

#include "base/check.h"

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* No part is empty or starts with a dot, so "..", ".tmp" and "a//b" cannot be named. */
bool objstore_is_name(const char *name)
{
    char before = '/';
    size_t len = 0;

    if (name == NULL) {
        return false;
    }
    for (; name[len] != '\0'; len++) {
        char c = name[len];

        if (len == OBJSTORE_NAME_MAX || (before == '/' && (c == '/' || c == '.')) ||
            (c != '/' && !is_name_char(c))) {
            return false;
        }
        before = c;
    }
    return before != '/';
}

static struct hf_status name_check(struct hf_ctx *ctx, const char *name)
{
    if (!objstore_is_name(name)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "'%.100s' is not an object name",
                       name != NULL ? name : "");
    }
    return hf_ctx_check(ctx);
}

/* A prefix is the beginning of a name, possibly empty, possibly ending in a slash. */
static struct hf_status prefix_check(struct hf_ctx *ctx, const char *prefix)
{
    size_t len = prefix != NULL ? strlen(prefix) : 0;

    if (prefix == NULL || len > OBJSTORE_NAME_MAX) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "not a prefix of object names");
    }
    if (len == 0) {
        return hf_ctx_check(ctx);
    }
    return name_check(ctx,
                      prefix[len - 1] == '/' ? hf_strndup(ctx->arena, prefix, len - 1) : prefix);
}

struct hf_status objstore_put(struct hf_ctx *ctx, struct objstore *store, const char *name,
                              struct hf_bytes bytes)
{
    HF_TRY(name_check(ctx, name));
    return store->ops->put(ctx, store, name, bytes);
}

struct hf_status objstore_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                               uint64_t *ret_size)
{
    HF_TRY(name_check(ctx, name));
    return store->ops->head(ctx, store, name, ret_size);
}

struct hf_status objstore_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                               uint64_t offset, size_t len, void *ret_bytes)
{
    HF_TRY(name_check(ctx, name));
    return store->ops->read(ctx, store, name, offset, len, ret_bytes);
}

struct hf_status objstore_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                               const char *after, size_t max, struct objstore_page *ret_page)
{
    HF_TRY(prefix_check(ctx, prefix));
    HF_CHECK(max > 0);
    return store->ops->list(ctx, store, prefix, after, max, ret_page);
}

/* Append a page to all; stores may give shorter pages than asked for. */
static void page_append(struct hf_arena *arena, struct objstore_page *all,
                        const struct objstore_page *page)
{
    struct objstore_entry *entries;

    if (all->len == 0) {
        *all = *page;
        return;
    }
    entries = HF_NEW_N(arena, struct objstore_entry, all->len + page->len);
    memcpy(entries, all->entries, all->len * sizeof(entries[0]));
    if (page->len > 0) {
        memcpy(entries + all->len, page->entries, page->len * sizeof(entries[0]));
    }
    all->entries = entries;
    all->len += page->len;
    all->is_complete = page->is_complete;
}

struct hf_status objstore_list_all(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                   size_t max, struct objstore_page *ret_page)
{
    struct objstore_page all = {0};
    const char *after = NULL;

    do {
        struct objstore_page page = {0};

        if (all.len >= max) {
            return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "more than %zu objects below %s", max,
                           prefix);
        }
        HF_TRY(objstore_list(ctx, store, prefix, after, max - all.len, &page));
        page_append(ctx->arena, &all, &page);
        if (page.len == 0 && !page.is_complete) {
            return hf_fail(ctx->arena, HF_INTERNAL, "store gave an empty page of %s", prefix);
        }
        after = all.len > 0 ? all.entries[all.len - 1].name : NULL;
    } while (!all.is_complete);
    *ret_page = all;
    return hf_success();
}

struct hf_status objstore_remove(struct hf_ctx *ctx, struct objstore *store, const char *name)
{
    HF_TRY(name_check(ctx, name));
    return store->ops->remove(ctx, store, name);
}

void objstore_free(struct objstore *store)
{
    if (store != NULL) {
        store->ops->free(store);
    }
}
