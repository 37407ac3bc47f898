/* The command that mends a connection string of an earlier release. Surprise: it is printed for a
 * person to paste, perhaps as root, and what is stored may come from anybody. So only what would be
 * taken today is in it, each value quoted twice: for libpq and for a shell. */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "pgwire/internal.h"

#define MENDED_MAX ((size_t)64 << 10)

HF_DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

/* Keywords whose file is uploaded now, or whose secret is typed. */
static const struct {
    const char *keyword;
    const char *option;
    bool has_file;
} uploads[] = {
    {"sslrootcert", "--ca-file", true},
    {"sslcert", "--cert-file", true},
    {"sslkey", "--key-file", true},
    {"password", "--password-stdin", false},
};

/* A path that a person knows again; an engine, "system" and control characters are none. */
static bool is_path(const char *value)
{
    bool is_plain = value[0] == '/' && strchr(value, ':') == NULL;

    for (const char *p = value; *p != '\0'; p++) {
        is_plain = is_plain && (unsigned char)*p >= ' ' && *p != 127;
    }
    return is_plain && hf_is_utf8(value, strlen(value));
}

static const char *upload_of(struct hf_arena *arena, const PQconninfoOption *option)
{
    for (size_t i = 0; i < HF_LEN(uploads); i++) {
        if (strcmp(uploads[i].keyword, option->keyword) == 0) {
            const char *file = !uploads[i].has_file   ? ""
                               : is_path(option->val) ? hf_shell_word(arena, option->val)
                                                      : "FILE";

            return hf_printf(arena, " %s%s%s", uploads[i].option, *file == '\0' ? "" : " ", file);
        }
    }
    return "";
}

void pgwire_option_print(struct hf_buf *out, const char *keyword, const char *value)
{
    if (value[0] == '\0') {
        return;
    }
    hf_buf_printf(out, "%s%s='", out->len > 0 ? " " : "", keyword);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\') {
            hf_buf_append(out, "\\", 1);
        }
        hf_buf_append(out, p, 1);
    }
    hf_buf_text_append(out, "'");
}

bool pgwire_dsn_names(const char *dsn, const char *keyword)
{
    HF_CLEANUP(PQconninfoFree)
    PQconninfoOption *options =
        dsn == NULL || strlen(dsn) > MENDED_MAX ? NULL : PQconninfoParse(dsn, NULL);
    bool is_named = false;

    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        is_named =
            is_named || (strcmp(option->keyword, keyword) == 0 && !hf_text_empty(option->val));
    }
    return is_named;
}

const char *pgwire_dsn_mend(struct hf_arena *arena, const char *dsn)
{
    HF_CLEANUP(PQconninfoFree)
    PQconninfoOption *options =
        dsn == NULL || strlen(dsn) > MENDED_MAX ? NULL : PQconninfoParse(dsn, NULL);
    HF_CLEANUP(hf_buf_done) struct hf_buf kept = {0};
    const char *rest = "";

    hf_buf_init(&kept, MENDED_MAX);
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        if (pgwire_option_is_taken(option)) {
            pgwire_option_print(&kept, option->keyword, option->val);
        } else if (!hf_text_empty(option->val)) {
            rest = hf_printf(arena, "%s%s", rest, upload_of(arena, option));
        }
    }
    return kept.len == 0 || !hf_is_ok(pgwire_dsn_check(arena, hf_buf_text(&kept)))
               ? "--dsn DSN"
               : hf_printf(arena, "--dsn %s%s", hf_shell_word(arena, hf_buf_text(&kept)), rest);
}
