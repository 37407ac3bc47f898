/* /proc. A process may call itself what it likes: it speaks against its own user only. */
#include "cli/supervise/postmaster.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
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
    return read_proc(arena, pid, "comm", &text) &&
           (hf_text_equal(hf_buf_text(&text), "postgres\n") ||
            hf_text_equal(hf_buf_text(&text), "postmaster\n")); /* the old name of the program */
}

/* What initdb, pg_ctl and setting up run: no servers, and gone in a moment. */
static const char *const no_servers[] = {"--boot", "--check",           "--single", "-V",
                                         "-C",     "--describe-config", "--help",   "--version"};

static bool is_no_server(const char *word)
{
    for (size_t i = 0; i < HF_LEN(no_servers); i++) {
        if (hf_text_equal(word, no_servers[i])) {
            return true;
        }
    }
    return false;
}

/* Whether the words are of a server that is not the private one of an installation, which is
 * started with -D DIR/pg and has its holdfast.yaml beside it. A process that ends has no words; a
 * worker whose postmaster was killed has a title for them. */
static bool is_foreign_server(struct hf_arena *arena, pid_t pid)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    bool is_next = false;

    hf_buf_init(&text, WORDS_MAX);
    if (!read_proc(arena, pid, "cmdline", &text) || text.len == 0 ||
        hf_has_prefix(hf_buf_text(&text), "postgres: ")) {
        return false;
    }
    const char *words = hf_buf_text(&text);

    for (size_t at = 0; at < text.len; at += strlen(words + at) + 1) {
        const char *word = words + at;

        if (is_no_server(word) ||
            (is_next && hf_has_suffix(word, "/pg") &&
             hf_path_exists(hf_path_join(arena, hf_path_parent(arena, word), "holdfast.yaml")))) {
            return false;
        }
        is_next = hf_text_equal(word, "-D");
    }
    return true;
}

/* Workers are their postmaster's. */
static bool is_postmaster(struct hf_arena *arena, pid_t pid, const void *arg)
{
    const uid_t *of = arg;
    pid_t parent = 0;
    uid_t uid = 0;

    return is_postgres(arena, pid) && children_read_kin(arena, pid, &parent, &uid) && uid == *of &&
           !is_postgres(arena, parent) && is_foreign_server(arena, pid);
}

pid_t postmaster_of(uid_t uid)
{
    return children_find(is_postmaster, &uid);
}
