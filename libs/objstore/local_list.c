/* Listing a directory store in byte order of full names. The surprise: entries are sorted with a
 * '/' behind each directory ("a-b" < "a/x" < "a0"), then a walk in depth gives that very order, and
 * whole subtrees before 'after' or outside the prefix are skipped without being read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/vec.h"
#include "objstore/local_internal.h"

#define DEPTH_MAX 64                    /* parts of a name that listings go down */
#define SCRATCH_MAX ((size_t)512 << 20) /* names of the directories on one path down */

HF_DEFINE_CLEANUP(DIR *, closedir)

struct level {
    const char **names; /* full names, directories with a '/' at the end, sorted */
    size_t len;
    size_t next;
};

struct listing {
    struct hf_ctx *ctx;
    const struct local_store *store;
    const char *prefix;
    const char *after; /* "" for the start */
    size_t max;
    struct hf_arena *scratch;
    struct level levels[DEPTH_MAX];
    size_t depth;
    HF_VEC(struct objstore_entry) found;
    bool is_cut; /* there is more */
};

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Can this object, or any object below this directory, belong to the page? */
static bool is_wanted(const struct listing *listing, const char *name)
{
    bool is_dir = name[strlen(name) - 1] == '/';

    if (!is_dir) {
        return has_prefix(name, listing->prefix) && strcmp(name, listing->after) > 0;
    }
    return (has_prefix(name, listing->prefix) || has_prefix(listing->prefix, name)) &&
           (strcmp(name, listing->after) > 0 || has_prefix(listing->after, name));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A directory entry's kind; some file systems leave d_type empty. */
static unsigned char entry_type(int dir_fd, const struct dirent *entry)
{
    struct stat info;

    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type;
    }
    if (fstatat(dir_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return DT_UNKNOWN;
    }
    return S_ISDIR(info.st_mode) ? DT_DIR : (S_ISREG(info.st_mode) ? DT_REG : DT_UNKNOWN);
}

/* Names of one directory (full name with '/' at the end, "" for the root) into level. */
static struct hf_status level_fill(struct listing *listing, DIR *dir, const char *name,
                                   struct level *level)
{
    HF_VEC(const char *) names = {0};
    const struct dirent *entry;

    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        unsigned char type = entry_type(dirfd(dir), entry);
        const char *full;

        if (entry->d_name[0] == '.' || (type != DT_DIR && type != DT_REG)) {
            continue;
        }
        full =
            hf_printf(listing->scratch, "%s%s%s", name, entry->d_name, type == DT_DIR ? "/" : "");
        if (is_wanted(listing, full)) {
            *HF_VEC_ADD(listing->scratch, &names) = full;
        }
        errno = 0;
    }
    if (errno != 0) {
        return hf_fail_errno(listing->ctx->arena, errno, "reading directory %s/%s",
                             listing->store->dir, name);
    }
    if (names.len > 0) {
        qsort(names.items, names.len, sizeof(names.items[0]), compare_names);
    }
    *level = (struct level){names.items, names.len, 0};
    return hf_success();
}

static struct hf_status level_open(struct listing *listing, const char *name)
{
    const char *path = name[0] != '\0' ? name : ".";
    int fd = openat(listing->store->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    HF_CLEANUP(closedir) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL) {
        if (errno == ENOENT) {
            return hf_success(); /* removed since its parent was read */
        }
        return hf_fail_errno(listing->ctx->arena, errno, "opening directory %s/%s",
                             listing->store->dir, path);
    }
    if (listing->depth == DEPTH_MAX) {
        return hf_fail(listing->ctx->arena, HF_RESOURCE_EXHAUSTED, "%s is nested too deeply", name);
    }
    HF_TRY(level_fill(listing, dir, name, &listing->levels[listing->depth]));
    listing->depth++;
    return hf_success();
}

static struct hf_status listing_add(struct listing *listing, const char *name)
{
    struct stat info;
    struct objstore_entry *entry;

    if (fstatat(listing->store->root, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? hf_success()
                               : hf_fail_errno(listing->ctx->arena, errno, "looking at %s", name);
    }
    if (listing->found.len == listing->max) {
        listing->is_cut = true;
        return hf_success();
    }
    entry = HF_VEC_ADD(listing->ctx->arena, &listing->found);
    entry->name = hf_strdup(listing->ctx->arena, name);
    entry->size_bytes = (uint64_t)info.st_size;
    return hf_success();
}

static struct hf_status listing_run(struct listing *listing)
{
    HF_TRY(level_open(listing, ""));
    while (listing->depth > 0 && !listing->is_cut) {
        struct level *level = &listing->levels[listing->depth - 1];
        const char *name;

        if (level->next == level->len) {
            listing->depth--;
            continue;
        }
        name = level->names[level->next++];
        HF_TRY(hf_ctx_check(listing->ctx));
        if (name[strlen(name) - 1] == '/') {
            HF_TRY(level_open(listing, name));
        } else {
            HF_TRY(listing_add(listing, name));
        }
    }
    return hf_success();
}

struct hf_status local_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                            const char *after, size_t max, struct objstore_page *ret_page)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new(SCRATCH_MAX);
    struct listing listing = {
        .ctx = ctx,
        .store = local_of(store),
        .prefix = prefix,
        .after = after != NULL ? after : "",
        .max = max,
        .scratch = scratch,
    };

    HF_TRY(listing_run(&listing));
    ret_page->entries = listing.found.items;
    ret_page->len = listing.found.len;
    ret_page->is_complete = !listing.is_cut;
    return hf_success();
}
