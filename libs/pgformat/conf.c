/* Editing configuration text line by line. Surprise: PostgreSQL takes "name value", "name=value"
 * and "name = value", names case-insensitive, and the *last* line wins; a quoted value doubles
 * quotes or escapes them with a backslash. */
#include "pgformat/conf.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"

/* What points at the original's peers, archive or recovery. A name ending in "*" is a prefix. */
static const char *const unwanted[] = {
    "synchronous_standby_names", "synchronized_standby_slots",
    "standby_slot_names",        "archive_mode",
    "archive_command",           "archive_library",
    "archive_cleanup_command",   "primary_conninfo",
    "primary_slot_name",         "promote_trigger_file",
    "restore_command",           "recovery_*",
};

struct line {
    struct hf_str whole; /* with its newline */
    struct hf_str name;  /* empty: blank, comment, or nothing that sets anything */
    struct hf_str value; /* raw, quotes included, comment behind it not */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '$' || (unsigned char)c >= 0x80;
}

bool pgf_conf_is_unwanted(struct hf_str name)
{
    for (size_t i = 0; i < HF_LEN(unwanted); i++) {
        size_t len = strlen(unwanted[i]);
        bool is_prefix = unwanted[i][len - 1] == '*';
        size_t compare = is_prefix ? len - 1 : len;

        if ((is_prefix ? name.len >= compare : name.len == compare) &&
            strncasecmp(name.ptr, unwanted[i], compare) == 0) {
            return true;
        }
    }
    return false;
}

static struct hf_str left_trim(struct hf_str text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

/* Raw value at the start of text: quoted up to its closing quote, else up to a blank or comment. */
static struct hf_str value_cut(struct hf_str text)
{
    size_t len = 0;

    if (text.len > 0 && text.ptr[0] == '\'') {
        for (len = 1; len < text.len; len++) {
            if (text.ptr[len] == '\\' && len + 1 < text.len) {
                len++;
            } else if (text.ptr[len] == '\'' && len + 1 < text.len && text.ptr[len + 1] == '\'') {
                len++;
            } else if (text.ptr[len] == '\'') {
                return (struct hf_str){text.ptr, len + 1};
            }
        }
        return (struct hf_str){text.ptr, text.len};
    }
    while (len < text.len && !is_blank(text.ptr[len]) && text.ptr[len] != '#') {
        len++;
    }
    return (struct hf_str){text.ptr, len};
}

static bool line_next(struct hf_str text, size_t *pos, struct line *ret_line)
{
    const char *end;
    struct hf_str rest;
    size_t len;

    if (*pos >= text.len) {
        return false;
    }
    end = memchr(text.ptr + *pos, '\n', text.len - *pos);
    len = end != NULL ? (size_t)(end - text.ptr) - *pos : text.len - *pos;
    *ret_line = (struct line){.whole = {text.ptr + *pos, end != NULL ? len + 1 : len}};
    rest = left_trim((struct hf_str){text.ptr + *pos, len});
    *pos += len + 1;
    for (len = 0; len < rest.len && is_name_char(rest.ptr[len]); len++) {
    }
    if (len == 0) {
        return true;
    }
    ret_line->name = (struct hf_str){rest.ptr, len};
    rest = left_trim((struct hf_str){rest.ptr + len, rest.len - len});
    if (rest.len > 0 && rest.ptr[0] == '=') {
        rest = left_trim((struct hf_str){rest.ptr + 1, rest.len - 1});
    }
    ret_line->value = value_cut(rest);
    return true;
}

/* One escaped byte of a quoted value at raw.ptr[*pos] (behind the backslash). */
static char unescape(struct hf_str raw, size_t *pos)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    char c = raw.ptr[*pos];
    const char *known = strchr(from, c);
    int value = 0;

    if (c != '\0' && known != NULL) {
        return to[known - from];
    }
    if (c < '0' || c > '7') {
        return c;
    }
    for (int i = 0; i < 3 && *pos < raw.len && raw.ptr[*pos] >= '0' && raw.ptr[*pos] <= '7'; i++) {
        value = value * 8 + (raw.ptr[(*pos)++] - '0');
    }
    (*pos)--;
    return (char)value;
}

static char *unquote(struct hf_arena *arena, struct hf_str raw)
{
    char *out;
    size_t len = 0;

    if (raw.len < 2 || raw.ptr[0] != '\'') {
        return hf_strndup(arena, raw.ptr, raw.len);
    }
    raw = (struct hf_str){raw.ptr + 1, raw.len - 2};
    out = hf_alloc(arena, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '\\' && i + 1 < raw.len) {
            i++;
            out[len++] = unescape(raw, &i);
        } else {
            i += raw.ptr[i] == '\'' ? 1 : 0;
            out[len++] = raw.ptr[i < raw.len ? i : raw.len - 1];
        }
    }
    out[len] = '\0';
    return out;
}

static bool name_is(struct hf_str name, const char *wanted)
{
    return name.len == strlen(wanted) && strncasecmp(name.ptr, wanted, name.len) == 0;
}

char *pgf_conf_get(struct hf_arena *arena, struct hf_str text, const char *name)
{
    struct line line;
    size_t pos = 0;
    struct hf_str found = {NULL, 0};

    while (line_next(text, &pos, &line)) {
        if (name_is(line.name, name)) {
            found = line.value.ptr != NULL ? line.value : HF_STR("");
        }
    }
    return found.ptr != NULL ? unquote(arena, found) : NULL;
}

void pgf_conf_filter(struct hf_str text, bool (*drop)(struct hf_str name), bool mark,
                     struct hf_buf *out)
{
    struct line line;
    size_t pos = 0;

    while (line_next(text, &pos, &line)) {
        if (line.name.len == 0 || !drop(line.name)) {
            hf_buf_append(out, line.whole.ptr, line.whole.len);
        } else if (mark) {
            hf_buf_text_append(out, "# holdfast removed: ");
            hf_buf_append(out, line.name.ptr, line.name.len);
            hf_buf_append(out, "\n", 1);
        }
    }
}

bool pgf_conf_append(struct hf_buf *out, const char *name, const char *value)
{
    if (strpbrk(value, "\n\r") != NULL) {
        return false;
    }
    if (out->len > 0 && out->ptr[out->len - 1] != '\n') {
        hf_buf_append(out, "\n", 1);
    }
    hf_buf_printf(out, "%s = '", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\') {
            hf_buf_append(out, p, 1);
        }
        hf_buf_append(out, p, 1);
    }
    hf_buf_text_append(out, "'\n");
    return true;
}

size_t pgf_conf_includes(struct hf_arena *arena, struct hf_str text,
                         void (*fn)(void *arg, const char *directive, const char *path), void *arg)
{
    static const char *const directives[] = {"include", "include_dir", "include_if_exists"};
    struct line line;
    size_t pos = 0;
    size_t count = 0;

    while (line_next(text, &pos, &line)) {
        for (size_t i = 0; i < HF_LEN(directives); i++) {
            if (name_is(line.name, directives[i]) && line.value.ptr != NULL) {
                fn(arg, directives[i], unquote(arena, line.value));
                count++;
            }
        }
    }
    return count;
}
