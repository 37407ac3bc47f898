/* /proc. A process may call itself what it likes: it speaks against its own user only. */
#include "cli/supervise/postmaster.h"

#include <dirent.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/children.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define WORDS_MAX 16384

static bool read_proc(struct hf_arena *arena, pid_t pid, const char *name, struct hf_buf *text)
{
    return hf_is_ok(hf_read_file(arena, hf_printf(arena, "/proc/%d/%s", (int)pid, name), text));
}

static bool is_postgres(struct hf_arena *arena, pid_t pid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 64);
    return read_proc(arena, pid, "comm", &text) && hf_text_equal(hf_buf_text(&text), "postgres\n");
}

/* Started with the data directory of an installation, which has its holdfast.yaml beside it. */
static bool is_private(struct hf_arena *arena, pid_t pid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_next = false;

    hf_buf_init(&text, WORDS_MAX);
    if (!read_proc(arena, pid, "cmdline", &text)) {
        return false;
    }
    const char *words = hf_buf_text(&text);

    for (size_t at = 0; at < text.len; at += strlen(words + at) + 1) {
        const char *word = words + at;

        if (is_next && hf_has_suffix(word, "/pg")) {
            return hf_path_exists(
                hf_path_join(arena, hf_path_parent(arena, word), "holdfast.yaml"));
        }
        is_next = hf_text_equal(word, "-D");
    }
    return false;
}

/* Workers are their postmaster's. */
static bool is_postmaster(struct hf_arena *arena, pid_t pid, uid_t of)
{
    pid_t parent = 0;
    uid_t uid = 0;

    return is_postgres(arena, pid) && children_read_kin(arena, pid, &parent, &uid) && uid == of &&
           !is_postgres(arena, parent) && !is_private(arena, pid);
}

pid_t postmaster_of(uid_t uid)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    DIR *proc = opendir("/proc");
    const struct dirent *entry = NULL;
    pid_t found = 0;

    while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL) {
        uint64_t pid = 0;

        hf_arena_reset(arena);
        if (hf_parse_u64(entry->d_name, &pid) && pid < INT32_MAX &&
            is_postmaster(arena, (pid_t)pid, uid)) {
            found = (pid_t)pid;
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return found;
}
