/* Looking by descriptors, and the proof that something is root's to give.
 *
 * Whoever owns a directory puts into it, under any name, what root left in another one of his: he
 * cannot read it, but root would give it to him. So nothing of root's is given away because it lies
 * there, but
 *
 *   the directory is                            what of root's is given
 *   root's, and all above, without a            all that lies in root's directories: root copied a
 *   holdfast.yaml                               vault and keys to it
 *   root's, postgres's, nobody's, holdfast's,   the files that the earlier release left as root's,
 *   with an installation's holdfast.yaml        when that one is root's, too, or the directory is
 *   any other user's                            nothing; the list is for root to judge
 */
#include "cli/supervise/site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/out.h"

/* A disk that was made just now has lost+found. */
static bool is_empty(int dir)
{
    static const char *const nothing[] = {".", "..", "lost+found"};
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    size_t len = 0;

    while (list != NULL && (entry = readdir(list)) != NULL) {
        len++;
        for (size_t i = 0; i < HF_LEN(nothing); i++) {
            len -= hf_text_equal(entry->d_name, nothing[i]) ? 1 : 0;
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return list != NULL && len == 0;
}

/* By names that only an installation has; the first is the last that a first `up` makes. */
static void look_inside(struct site *site)
{
    static const char *const names[] = {"holdfast.yaml", "keys", "vault", "pki"};
    struct stat found;

    site->is_empty = is_empty(site->dir);
    for (size_t i = 0; i < HF_LEN(names); i++) {
        if (fstatat(site->dir, names[i], &found, AT_SYMLINK_NOFOLLOW) == 0) {
            site->is_installation = true;
            /* A link of root's is the operator's way to another disk, and nothing to be given. */
            site->has_roots = site->has_roots || (found.st_uid == 0 && !S_ISLNK(found.st_mode));
            site->is_old = site->is_old || (i == 0 && found.st_uid == 0);
        }
    }
    site->is_old =
        site->is_installation && (site->is_old || account_objection(&site->owner) != NULL);
}

static struct hf_status look(struct hf_ctx *ctx, struct site *site)
{
    struct dir_settings settings = {0};
    struct stat found;

    HF_TRY(walk_open(ctx, site->path, &site->walk));
    if (*site->walk.missing == '\0') {
        site->dir = openat(site->walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (site->dir < 0 || fstat(site->dir, &found) != 0) {
            return hf_fail_errno(ctx->arena, errno, "opening %s", site->path);
        }
        HF_TRY(account_of(ctx->arena, found.st_uid, found.st_gid, &site->owner));
        site->is_roots_alone = hf_is_ok(walk_check_roots(ctx, &site->walk));
        look_inside(site);
    }
    site->settings = dir_load_at(ctx, site->dir, site->path, &settings);
    site->settings_uid = settings.uid;
    return hf_success();
}

struct hf_status site_look(struct hf_ctx *ctx, const char *path, struct site *ret_site)
{
    HF_CLEANUP(site_done) struct site site = {.path = path, .walk = {.fd = -1}, .dir = -1};

    HF_TRY(look(ctx, &site));
    *ret_site = site;
    site.walk.fd = -1; /* the caller's now */
    site.dir = -1;
    return hf_success();
}

void site_done(struct site *site)
{
    walk_done(&site->walk);
    hf_close_cleanup(&site->dir);
}

struct hf_status site_refuse(struct hf_ctx *ctx, const struct site *site)
{
    if (site->is_installation && site->owner.uid != 0) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                            "%s belongs to %s and has no holdfast.yaml that says what it is; when "
                            "its keys and vault are yours, `chown -R root: %s` makes them root's "
                            "to give, else choose another --dir",
                            site->path, site->owner.name, out_word(ctx->arena, site->path));
    }
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_DIRECTORY", NULL,
                        "%s belongs to %s and is no installation; choose another --dir", site->path,
                        site->owner.name);
}

/* One that others write to says nothing by what is in it. */
static bool is_closed(const struct site *site)
{
    struct stat found;

    return fstat(site->dir, &found) == 0 && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

struct hf_status site_plan_move(struct hf_ctx *ctx, const struct site *site,
                                const struct account *to, struct move *ret_move)
{
    bool is_roots = site->owner.uid == 0;
    bool is_servers =
        account_objection(&site->owner) != NULL || hf_text_equal(site->owner.name, ACCOUNT_NAME);
    bool is_copied = is_roots && site->is_roots_alone && site->settings.code == HF_UNAVAILABLE;
    bool is_earlier = is_servers && hf_is_ok(site->settings) && (!is_roots || is_closed(site));
    struct move move = {.dir = site->dir, .path = site->path, .to = *to};

    if (account_objection(&site->owner) != NULL && !is_copied && !is_earlier) {
        return site_refuse(ctx, site);
    }
    move.root = is_copied                                             ? MOVE_ROOTS_ALL
                : is_earlier && (is_roots || site->settings_uid == 0) ? MOVE_ROOTS_KNOWN
                                                                      : MOVE_ROOTS_NONE;
    move.former = is_roots || account_objection(&site->owner) == NULL ? 0 : site->owner.uid;
    move.is_former_sought = is_roots;
    *ret_move = move;
    return hf_success();
}
