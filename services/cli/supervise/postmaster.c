/* /proc. A process may call itself what it likes: it speaks against its own user only. */
#include "cli/supervise/postmaster.h"

#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/children.h"

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

/* What initdb and setting up run: no server, and gone in a moment. */
static bool is_no_server(const char *word)
{
    return hf_text_equal(word, "--boot") || hf_text_equal(word, "--single") ||
           hf_text_equal(word, "--check") || hf_text_equal(word, "--describe-config");
}

/* Started with the data directory of an installation, which has its holdfast.yaml beside it, or no
 * server at all. */
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

        if (is_no_server(word)) {
            return true;
        }
        if (is_next && hf_has_suffix(word, "/pg")) {
            return hf_path_exists(
                hf_path_join(arena, hf_path_parent(arena, word), "holdfast.yaml"));
        }
        is_next = hf_text_equal(word, "-D");
    }
    return false;
}

/* Workers are their postmaster's. */
static bool is_postmaster(struct hf_arena *arena, pid_t pid, const void *arg)
{
    const uid_t *of = arg;
    pid_t parent = 0;
    uid_t uid = 0;

    return is_postgres(arena, pid) && children_read_kin(arena, pid, &parent, &uid) && uid == *of &&
           !is_postgres(arena, parent) && !is_private(arena, pid);
}

pid_t postmaster_of(uid_t uid)
{
    return children_find(is_postmaster, &uid);
}
