/* Listing a directory store in byte order of full names. The surprise: entries are sorted with a
 * '/' behind each directory ("a-b" < "a/x" < "a0"), then a walk in depth gives that very order, and
 * whole subtrees before 'after' or outside the prefix are skipped without being read.
 *
 * A directory is foreign input: of a million entries only the next WINDOW_NAMES in order are held,
 * and it is read again for those behind them. What cannot be an object's name, or a part of one, is
 * not seen, and so the depth is bounded by the length of a name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/vec.h"
#include "objstore/local_internal.h"

#define DEPTH_MAX (OBJSTORE_NAME_MAX / 2 + 1)
#define SCRATCH_MAX ((size_t)1 << 20)
#define LEVEL_MAX ((size_t)256 << 20) /* names of one directory */
#define WINDOW_NAMES ((size_t)1 << 15)

HF_DEFINE_CLEANUP(DIR *, closedir)

struct level {
    struct hf_arena *arena; /* of the names */
    const char *dir;        /* full name with a '/' at the end, "" for the root */
    const char **names;     /* full names, directories with a '/' at the end, sorted */
    size_t len;
    size_t next;
    bool is_cut; /* there are more behind the last */
};

struct listing {
    struct hf_ctx *ctx;
    const struct local_store *store;
    const char *prefix;
    const char *after; /* "" for the start */
    size_t max;
    struct level *levels;
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

/* The smallest names of one directory that are greater than floor. */
struct window {
    struct level *level;
    const char *floor;
    struct {
        const char **items;
        size_t len;
        size_t cap;
    } names;
};

/* Sort; keep no more than the window. */
static void window_settle(struct window *window)
{
    if (window->names.len > 0) {
        qsort(window->names.items, window->names.len, sizeof(window->names.items[0]),
              compare_names);
    }
    if (window->names.len > WINDOW_NAMES) {
        window->names.len = WINDOW_NAMES;
        window->level->is_cut = true;
    }
}

static bool window_wants(const struct window *window, const char *name)
{
    return strcmp(name, window->floor) > 0 &&
           (!window->level->is_cut || strcmp(name, window->names.items[WINDOW_NAMES - 1]) < 0);
}

/* False when the memory of a level is used up. */
static bool window_add(struct window *window, const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = hf_try_alloc(window->level->arena, size);

    if (copy == NULL) {
        return false;
    }
    memcpy(copy, name, size);
    *HF_VEC_ADD(window->level->arena, &window->names) = copy;
    if (window->names.len == 2 * WINDOW_NAMES) {
        window_settle(window);
    }
    return true;
}

/* The full name of a directory's entry into ret_name; false: it cannot be, or lead to, an object.
 */
static bool entry_name(int dir_fd, const char *dir, const struct dirent *entry,
                       char ret_name[OBJSTORE_NAME_MAX + 2])
{
    size_t dir_len = strlen(dir);
    size_t len = strlen(entry->d_name);

    if (entry->d_name[0] == '.' || dir_len + len > OBJSTORE_NAME_MAX) {
        return false;
    }
    memcpy(ret_name, dir, dir_len);
    memcpy(ret_name + dir_len, entry->d_name, len + 1);
    if (!objstore_is_name(ret_name)) {
        return false;
    }
    unsigned char type = entry_type(dir_fd, entry);

    if (type == DT_DIR) {
        memcpy(ret_name + dir_len + len, "/", 2);
    }
    return type == DT_DIR || type == DT_REG;
}

/* The next names of a directory, behind floor ("" for the first). */
static struct hf_status level_fill(struct listing *listing, struct level *level, const char *floor)
{
    int fd = local_open(listing->store, level->dir[0] != '\0' ? level->dir : ".",
                        O_RDONLY | O_DIRECTORY, 0);
    HF_CLEANUP(closedir) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct window window = {.level = level, .floor = floor};
    char name[OBJSTORE_NAME_MAX + 2];
    const struct dirent *entry;

    *level = (struct level){.arena = level->arena, .dir = level->dir};
    if (dir == NULL) {
        return local_is_absent(errno) /* removed since its parent was read */
                   ? hf_success()
                   : hf_fail_errno(listing->ctx->arena, errno, "opening directory %s/%s",
                                   listing->store->dir, level->dir);
    }
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
        HF_TRY(hf_ctx_check(listing->ctx));
        if (entry_name(dirfd(dir), level->dir, entry, name) && is_wanted(listing, name) &&
            window_wants(&window, name) && !window_add(&window, name)) {
            return hf_fail(listing->ctx->arena, HF_RESOURCE_EXHAUSTED, "%s/%s has too many entries",
                           listing->store->dir, level->dir);
        }
    }
    if (errno != 0) {
        return hf_fail_errno(listing->ctx->arena, errno, "reading directory %s/%s",
                             listing->store->dir, level->dir);
    }
    window_settle(&window);
    level->names = window.names.items;
    level->len = window.names.len;
    return hf_success();
}

static struct hf_status level_open(struct listing *listing, const char *dir)
{
    struct level *level = &listing->levels[listing->depth++];

    level->arena = hf_arena_new(LEVEL_MAX);
    level->dir = hf_strdup(level->arena, dir);
    return level_fill(listing, level, "");
}

static void level_close(struct listing *listing)
{
    hf_arena_free(listing->levels[--listing->depth].arena);
}

/* The window behind the one that has been walked. */
static struct hf_status level_go_on(struct listing *listing, struct level *level)
{
    struct hf_arena *before = level->arena;
    const char *floor = level->names[level->len - 1];

    level->arena = hf_arena_new(LEVEL_MAX);
    level->dir = hf_strdup(level->arena, level->dir);
    struct hf_status status = level_fill(listing, level, floor);

    hf_arena_free(before);
    return status;
}

static struct hf_status listing_add(struct listing *listing, const char *name)
{
    struct stat info;
    struct objstore_entry *entry;

    if (fstatat(listing->store->root, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return local_is_absent(errno)
                   ? hf_success()
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

static struct hf_status listing_step(struct listing *listing, struct level *level)
{
    if (level->next == level->len && level->is_cut) {
        return level_go_on(listing, level);
    }
    if (level->next == level->len) {
        level_close(listing);
        return hf_success();
    }
    const char *name = level->names[level->next++];

    return name[strlen(name) - 1] == '/' ? level_open(listing, name) : listing_add(listing, name);
}

/* Begins where the prefix ends: what lies beside its directories is not looked at, so that one
 * segment's listing costs nothing for the segments beside it. */
static struct hf_status listing_run(struct listing *listing)
{
    const char *slash = strrchr(listing->prefix, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - listing->prefix) + 1;

    HF_TRY(level_open(listing, hf_strndup(listing->ctx->arena, listing->prefix, len)));
    while (listing->depth > 0 && !listing->is_cut) {
        HF_TRY(hf_ctx_check(listing->ctx));
        HF_TRY(listing_step(listing, &listing->levels[listing->depth - 1]));
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
        .levels = HF_NEW_N(scratch, struct level, DEPTH_MAX),
    };
    struct hf_status status = listing_run(&listing);

    while (listing.depth > 0) {
        level_close(&listing);
    }
    HF_TRY(status);
    ret_page->entries = listing.found.items;
    ret_page->len = listing.found.len;
    ret_page->is_complete = !listing.is_cut;
    return hf_success();
}
