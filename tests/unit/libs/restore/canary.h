/* A tree outside of a restore's target that must stay as it is: content, kind, owner, mode, times,
 * inode of everything in it, and nothing more in it. */
#ifndef TESTS_CANARY_H
#define TESTS_CANARY_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/str.h"
#include "codec/hash.h"
#include "tests/unit/libs/vault/vault_fixture.h"

/* One line per entry into buf, in order of names; spared is a directory that is left out. */
static inline void canary_print(struct hf_arena *arena, const char *path, const char *spared,
                                struct hf_buf *buf)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        const char *entry = hf_path_join(arena, path, names[i]->d_name);
        struct stat info;
        bool is_dots =
            hf_text_equal(names[i]->d_name, ".") || hf_text_equal(names[i]->d_name, "..");

        free(names[i]);
        if (is_dots || hf_text_equal(entry, spared) || lstat(entry, &info) != 0) {
            continue;
        }
        char link[256] = "";
        HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};

        hf_buf_init(&bytes, 1 << 20);
        if (S_ISREG(info.st_mode)) {
            assert_ok(hf_read_file(arena, entry, &bytes));
        } else if (S_ISLNK(info.st_mode)) {
            (void)!readlink(entry, link, sizeof(link) - 1);
        }
        hf_buf_printf(buf, "%s %o %u:%u %llu %lld.%09ld %lld.%09ld %lu %08x %s\n", entry,
                      info.st_mode, info.st_uid, info.st_gid, (unsigned long long)info.st_size,
                      (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                      (long long)info.st_ctim.tv_sec, info.st_ctim.tv_nsec,
                      (unsigned long)info.st_ino, codec_crc32c(0, bytes.ptr, bytes.len), link);
        if (S_ISDIR(info.st_mode)) {
            canary_print(arena, entry, spared, buf);
        }
    }
    free(names);
}

/* In arena. */
static inline char *canary_snapshot(struct hf_arena *arena, const char *path, const char *spared)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    hf_buf_init(&buf, 1 << 20);
    canary_print(arena, path, spared, &buf);
    assert_false(buf.is_full);
    return hf_strdup(arena, hf_buf_text(&buf));
}

static inline void canary_file(struct hf_arena *arena, const char *dir, const char *name, uid_t uid)
{
    const char *path = hf_path_join(arena, dir, name);

    assert_ok(hf_create_file(arena, path, "canary\n", 7, 0644));
    if (geteuid() == 0) {
        assert_int_equal(chown(path, uid, uid), 0);
    }
}

/* What a machine has outside: files that somebody would like to be written. */
static inline void canary_make(struct hf_arena *arena, const char *dir)
{
    assert_ok(hf_make_dirs(arena, hf_path_join(arena, dir, "cron.d"), 0755));
    assert_ok(hf_make_dirs(arena, hf_path_join(arena, dir, "base/1"), 0755));
    assert_ok(hf_make_dirs(arena, hf_path_join(arena, dir, "empty"), 0755));
    canary_file(arena, dir, "shadow", 0);
    canary_file(arena, dir, "cron.d/job", 0);
    canary_file(arena, dir, "base/1/1259", 0);
    canary_file(arena, dir, "PG_VERSION", 0);
}

#endif
