/* From SQLSTATE to our codes and reasons.
 *
 * Surprise: while connecting, libpq gives no SQLSTATE but only text. Its verbose form carries the
 * code ("FATAL:  28P01: …"), which no translation changes; so that form is asked for and read. */
#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/check.h"
#include "pgwire/internal.h"

#define TEXT_MAX 2000
#define FOREIGN_MAX ((size_t)128 << 10) /* of a text before it is cut */
#define CUT_PASSWORD_MIN 3
#define PASSWD_TEXT 16384
#define WORDS_MAX 64 /* messages that are looked through for last words */

struct rule {
    const char *sqlstate; /* whole, or a class of two characters */
    const char *word;     /* NULL, or what the text must hold too (names of settings only) */
    enum hf_code code;
    const char *reason;
    const char *fix; /* NULL or advice that is added; %s is the role */
};

/* The first that fits counts. */
static const struct rule rules[] = {
    {"28", NULL, HF_PERMISSION_DENIED, "AUTHENTICATION_FAILED", NULL},
    {"3D000", NULL, HF_NOT_FOUND, "DATABASE_NOT_FOUND", NULL},
    {"53300", "max_wal_senders", HF_RESOURCE_EXHAUSTED, "NO_WALSENDER",
     "raise max_wal_senders and restart the server"},
    {"53300", NULL, HF_RESOURCE_EXHAUSTED, "NO_CONNECTION_SLOT", NULL},
    {"53400", NULL, HF_RESOURCE_EXHAUSTED, "NO_FREE_SLOT",
     "raise max_replication_slots and restart the server, or drop an unused slot"},
    {"42501", NULL, HF_PERMISSION_DENIED, "NO_PRIVILEGE", NULL},
    {"0A000", NULL, HF_UNIMPLEMENTED, "NOT_SUPPORTED", NULL},
    {"42704", NULL, HF_NOT_FOUND, "SLOT_NOT_FOUND", NULL},
    {"42710", NULL, HF_ALREADY_EXISTS, "SLOT_EXISTS", NULL},
    {"55006", NULL, HF_FAILED_PRECONDITION, "SLOT_IN_USE", NULL},
    {"55000", "wal_level", HF_FAILED_PRECONDITION, "WAL_LEVEL_MINIMAL",
     "set wal_level = replica and restart the server"},
    {"55000", "invalidated", HF_FAILED_PRECONDITION, "SLOT_LOST", NULL},
    {"55000", "can no longer", HF_FAILED_PRECONDITION, "SLOT_LOST", NULL},
    {"58P01", NULL, HF_OUT_OF_RANGE, "WAL_REMOVED", NULL},
    {"XX001", NULL, HF_DATA_LOSS, "PAGE_CHECKSUM_FAILED", NULL},
    {"57P03", NULL, HF_UNAVAILABLE, "SERVER_STARTING", NULL},
    {"57P", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL},
    {"08", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL},
    {"XX000", "not in this server's history", HF_FAILED_PRECONDITION, "TIMELINE_UNKNOWN", NULL},
    {"XX000", "ahead of the WAL flush position", HF_OUT_OF_RANGE, "LSN_IN_FUTURE", NULL},
    {"", NULL, HF_INTERNAL, "SERVER_ERROR", NULL},
};

/* What libpq says of TLS; the next host may do better. */
static const struct rule of_tls[] = {
    {"", "certificate verify failed", HF_UNAVAILABLE, "TLS_NOT_VERIFIED",
     "upload the authority that signed it: `holdfast cluster update NAME --ca-file FILE`"},
    {"", "does not match host name", HF_UNAVAILABLE, "TLS_NOT_VERIFIED",
     "write the name that the certificate has into the dsn: host=NAME"},
    {"", "server does not support SSL", HF_UNAVAILABLE, "TLS_NOT_VERIFIED",
     "switch ssl on at the source"},
};

bool pgwire_reason_is(struct hf_status status, const char *reason)
{
    return status.info != NULL && hf_text_equal(status.info->reason, reason);
}

/* Bytes at p that are the password, in whatever case; also the beginning of it where the text ends,
 * because somebody has cut it there. */
static size_t password_len_at(const char *p, size_t left, const char *password)
{
    size_t len = password != NULL ? strlen(password) : 0;
    size_t seen = left < len ? left : len;

    if (len == 0 || (seen < len && seen < CUT_PASSWORD_MIN)) {
        return 0;
    }
    return strncasecmp(p, password, seen) == 0 ? seen : 0;
}

/* Append what stands at p, cleaned; returns how many bytes of p it stood for. */
static size_t clean_one(struct hf_buf *out, struct hf_str rest, const struct pgwire_conn *conn)
{
    static const char location[] = "\nLOCATION:";
    size_t hidden = password_len_at(rest.ptr, rest.len, conn->password);
    size_t path = conn->socket_path != NULL ? strlen(conn->socket_path) : 0;

    if (hidden > 0) {
        hf_buf_text_append(out, "***");
        return hidden;
    }
    if (path > 0 && rest.len >= path && memcmp(rest.ptr, conn->socket_path, path) == 0) {
        hf_buf_text_append(out, conn->socket_dir);
        return path;
    }
    if (rest.len >= sizeof(location) - 1 && memcmp(rest.ptr, location, sizeof(location) - 1) == 0) {
        const char *end = memchr(rest.ptr + 1, '\n', rest.len - 1);

        return end == NULL ? rest.len : (size_t)(end - rest.ptr);
    }
    hf_buf_append(out, *rest.ptr == '\n' || *rest.ptr == '\t' ? " " : rest.ptr, 1);
    return 1;
}

const char *pgwire_text(struct hf_arena *arena, const struct pgwire_conn *conn, struct hf_str text,
                        size_t max)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    size_t from = 0;

    hf_buf_init(&out, FOREIGN_MAX);
    while (text.len > 0 && !out.is_full) {
        size_t used = clean_one(&out, text, conn);

        text.ptr += used;
        text.len -= used;
    }
    while (out.len > 0 && out.ptr[out.len - 1] == ' ') {
        out.len--;
    }
    while (from < out.len && out.ptr[from] == ' ') {
        from++;
    }
    return hf_text_show(arena, hf_buf_text(&out) + from, out.len - from, max);
}

static const struct rule *rule_find(const char *sqlstate, const char *text)
{
    for (size_t i = 0; i < HF_LEN(rules); i++) {
        if (hf_has_prefix(sqlstate, rules[i].sqlstate) &&
            (rules[i].word == NULL || strstr(text, rules[i].word) != NULL)) {
            return &rules[i];
        }
    }
    return &rules[HF_LEN(rules) - 1];
}

static struct hf_status rule_fail(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                                  const struct rule *rule, const char *sqlstate, struct hf_str text)
{
    const char *const metadata[] = {"host", conn->peer != NULL ? conn->peer : "", "sqlstate",
                                    sqlstate, NULL};
    const char *message = pgwire_text(ctx->arena, conn, text, TEXT_MAX);

    if (rule->fix != NULL) {
        return hf_fail_info(ctx->arena, rule->code, rule->reason, metadata, "%s; %s", message,
                            rule->fix);
    }
    return hf_fail_info(ctx->arena, rule->code, rule->reason, metadata, "%s", message);
}

/* Five letters and digits, whatever follows. */
static bool is_sqlstate(const char *p)
{
    for (int i = 0; i < 5; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z'))) {
            return false;
        }
    }
    return true;
}

struct hf_status pgwire_fail(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                             const char *sqlstate, struct hf_str text)
{
    /* A SQLSTATE is shown and compared: five letters and digits, or none. */
    const char *code = is_sqlstate(sqlstate) ? sqlstate : "";
    const char *words = hf_strndup(ctx->arena, text.ptr == NULL ? "" : text.ptr, text.len);

    return rule_fail(ctx, conn, rule_find(code, words), code, text);
}

static struct hf_status fail_error(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                                   const struct pgwire_error *error)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 2 * FOREIGN_MAX);
    hf_buf_append(&text, error->message.ptr, error->message.len);
    if (error->detail.len > 0) {
        hf_buf_text_append(&text, ": ");
        hf_buf_append(&text, error->detail.ptr, error->detail.len);
    }
    return pgwire_fail(ctx, conn, error->sqlstate, (struct hf_str){hf_buf_text(&text), text.len});
}

struct hf_status pgwire_fail_result(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const struct pgwire_result *result)
{
    static const struct rule odd = {"", NULL, HF_INTERNAL, "SERVER_ERROR", NULL};
    static const char *const kinds[] = {
        [PGWIRE_RES_DONE] = "no rows",    [PGWIRE_RES_ROWS] = "rows",
        [PGWIRE_RES_COPY_OUT] = "a copy", [PGWIRE_RES_COPY_BOTH] = "a stream",
        [PGWIRE_RES_ERROR] = "an error",  [PGWIRE_RES_END] = "none"};

    if (result->kind == PGWIRE_RES_ERROR && result->error.message.len > 0) {
        return fail_error(ctx, conn, &result->error);
    }
    return rule_fail(ctx, conn, &odd, "",
                     hf_str_of(hf_printf(ctx->arena, "unexpected answer of the server (%s)",
                                         kinds[result->kind])));
}

struct hf_status pgwire_fail_lost(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    static const struct rule lost = {"", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL};
    struct pgwire_message message;

    conn->is_broken = true;
    (void)pgwire_wire_read(&conn->wire);
    for (int i = 0; i < WORDS_MAX && pgwire_wire_take(&conn->wire, &message) == PGWIRE_TAKE_ONE;
         i++) {
        if (message.type == 'E') {
            struct pgwire_error error;

            pgwire_error_decode(&message, &error);
            return fail_error(ctx, conn, &error);
        }
    }
    return rule_fail(ctx, conn, &lost, "", hf_str_of("the server closed the connection"));
}

/* Copy of text without "28P01: ", and that code; "" when there is none. */
static char *sqlstate_cut(struct hf_arena *arena, const char *text, char ret_sqlstate[6])
{
    char *out = hf_strdup(arena, text);

    ret_sqlstate[0] = '\0';
    for (char *p = strstr(out, ":  "); p != NULL; p = strstr(p + 1, ":  ")) {
        if (is_sqlstate(p + 3) && p[8] == ':' && p[9] == ' ') {
            memcpy(ret_sqlstate, p + 3, 5);
            ret_sqlstate[5] = '\0';
            memmove(p + 2, p + 10, strlen(p + 10) + 1);
        }
    }
    return out;
}

/* The method's name stays what it is in any language; which user of the machine the server saw, it
 * tells its own log only. */
static bool is_peer_refused(struct hf_arena *arena, const struct pgwire_conn *conn,
                            const char *sqlstate, const char *text)
{
    const char *const names[] = {PQuser(conn->pg), PQdb(conn->pg), PQhost(conn->pg)};
    char *said = hf_strdup(arena, text);

    for (size_t i = 0; i < HF_LEN(names); i++) { /* which may have the word in them */
        size_t len = names[i] == NULL ? 0 : strlen(names[i]);

        for (char *at = said; len > 0 && (at = strstr(at, names[i])) != NULL; at += len) {
            memset(at, ' ', len);
        }
    }
    return conn->socket_path != NULL && hf_text_equal(sqlstate, "28000") &&
           strcasestr(said, "peer") != NULL;
}

static const char *own_name(struct hf_arena *arena)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char *text = hf_alloc(arena, PASSWD_TEXT);

    return getpwuid_r(geteuid(), &entry, text, PASSWD_TEXT, &found) == 0 && found != NULL
               ? hf_strdup(arena, entry.pw_name)
               : hf_printf(arena, "%u", (unsigned)geteuid());
}

static const char *peer_fix(struct hf_arena *arena, const char *role)
{
    const char *self = own_name(arena);

    return hf_printf(arena,
                     "it saw this machine's user %s: begin its pg_hba.conf with `local "
                     "all,replication %s peer map=holdfast`, add `holdfast %s %s` to its "
                     "pg_ident.conf, then SELECT pg_reload_conf();",
                     self, role, self, role);
}

struct hf_status pgwire_fail_connect(struct hf_ctx *ctx, const struct pgwire_conn *conn)
{
    static const struct rule unreachable = {"", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL};
    static const struct rule wrong_role = {"", NULL, HF_FAILED_PRECONDITION, "WRONG_SERVER_ROLE",
                                           NULL};
    static const struct rule no_password = {"", NULL, HF_PERMISSION_DENIED, "AUTHENTICATION_FAILED",
                                            NULL};
    struct rule no_replication = {"", NULL, HF_PERMISSION_DENIED, "ROLE_LACKS_REPLICATION", NULL};
    struct rule no_peer = {"", NULL, HF_PERMISSION_DENIED, "PEER_REFUSED", NULL};
    char sqlstate[6];
    const char *text = sqlstate_cut(ctx->arena, PQerrorMessage(conn->pg), sqlstate);
    const char *user = PQuser(conn->pg);
    const char *role = user != NULL ? user : "role";

    if (conn->mode == PGWIRE_REPLICATION && strcmp(sqlstate, "42501") == 0) {
        no_replication.fix = hf_printf(ctx->arena, "on the source run: ALTER ROLE %s REPLICATION;",
                                       pgwire_quote_name(ctx->arena, role));
        return rule_fail(ctx, conn, &no_replication, sqlstate, hf_str_of(text));
    }
    if (is_peer_refused(ctx->arena, conn, sqlstate, text)) {
        no_peer.fix = peer_fix(ctx->arena, pgwire_quote_name(ctx->arena, role));
        return rule_fail(ctx, conn, &no_peer, sqlstate, hf_str_of(text));
    }
    if (sqlstate[0] != '\0') {
        return pgwire_fail(ctx, conn, sqlstate, hf_str_of(text));
    }
    if (PQconnectionNeedsPassword(conn->pg)) {
        return rule_fail(ctx, conn, &no_password, "", hf_str_of(text));
    }
    if (strstr(text, "hot standby mode") != NULL || strstr(text, "read-only") != NULL) {
        return rule_fail(ctx, conn, &wrong_role, "", hf_str_of(text));
    }
    for (size_t i = 0; i < HF_LEN(of_tls); i++) {
        if (strstr(text, of_tls[i].word) != NULL) {
            return rule_fail(ctx, conn, &of_tls[i], "", hf_str_of(text));
        }
    }
    return rule_fail(ctx, conn, &unreachable, "", hf_str_of(text));
}
