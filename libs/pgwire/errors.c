/* From SQLSTATE to our codes and reasons.
 *
 * Surprise: while connecting, libpq gives no SQLSTATE but only text. Its verbose form carries the
 * code ("FATAL:  28P01: …"), which no translation changes; so that form is asked for and read. */
#include <string.h>

#include "base/check.h"
#include "pgwire/internal.h"

#define TEXT_MAX 2000

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

const char *pgwire_sqlstate(const PGresult *res)
{
    const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return sqlstate != NULL ? sqlstate : "";
}

bool pgwire_reason_is(struct hf_status status, const char *reason)
{
    return status.info != NULL && hf_text_equal(status.info->reason, reason);
}

/* Append what stands at p, cleaned; returns how many bytes of p it stood for. */
static size_t clean_one(struct hf_buf *out, const char *p, const char *password)
{
    size_t password_len = password != NULL ? strlen(password) : 0;

    if (password_len > 0 && strncmp(p, password, password_len) == 0) {
        hf_buf_text_append(out, "***");
        return password_len;
    }
    if (*p == '\n' && hf_has_prefix(p + 1, "LOCATION:")) {
        return 1 + strcspn(p + 1, "\n");
    }
    hf_buf_append(out, *p == '\n' || *p == '\t' ? " " : p, 1);
    return 1;
}

/* text on one line, at most TEXT_MAX bytes, without the password and libpq's LOCATION lines. */
static char *text_clean(struct hf_arena *arena, const struct pgwire_conn *conn, const char *text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    size_t from = 0;

    hf_buf_init(&out, TEXT_MAX);
    for (const char *p = text; *p != '\0' && !out.is_full;) {
        p += clean_one(&out, p, conn->password);
    }
    while (out.len > 0 && out.ptr[out.len - 1] == ' ') {
        out.len--;
    }
    while (from < out.len && out.ptr[from] == ' ') {
        from++;
    }
    return hf_strdup(arena, hf_buf_text(&out) + from);
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
                                  const struct rule *rule, const char *sqlstate, const char *text)
{
    const char *const metadata[] = {"host", conn->peer != NULL ? conn->peer : "", "sqlstate",
                                    sqlstate, NULL};
    const char *message = text_clean(ctx->arena, conn, text);

    if (rule->fix != NULL) {
        return hf_fail_info(ctx->arena, rule->code, rule->reason, metadata, "%s; %s", message,
                            rule->fix);
    }
    return hf_fail_info(ctx->arena, rule->code, rule->reason, metadata, "%s", message);
}

struct hf_status pgwire_fail(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                             const char *sqlstate, const char *text)
{
    return rule_fail(ctx, conn, rule_find(sqlstate, text), sqlstate, text);
}

struct hf_status pgwire_fail_result(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const PGresult *res)
{
    static const struct rule lost = {"", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL};
    static const struct rule odd = {"", NULL, HF_INTERNAL, "SERVER_ERROR", NULL};
    const char *sqlstate = res != NULL ? pgwire_sqlstate(res) : "";
    const char *text = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL) : NULL;

    if (text != NULL && sqlstate[0] != '\0') {
        return pgwire_fail(ctx, conn, sqlstate,
                           detail != NULL ? hf_printf(ctx->arena, "%s: %s", text, detail) : text);
    }
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        text = PQerrorMessage(conn->pg);
        return rule_fail(ctx, conn, &lost, "",
                         text[0] != '\0' ? text : "the server closed the connection");
    }
    return rule_fail(ctx, conn, &odd, "",
                     hf_printf(ctx->arena, "unexpected answer of the server (%s)",
                               res != NULL ? PQresStatus(PQresultStatus(res)) : "none"));
}

static bool is_sqlstate(const char *p)
{
    for (int i = 0; i < 5; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z'))) {
            return false;
        }
    }
    return p[5] == ':' && p[6] == ' ';
}

/* Copy of text without "28P01: ", and that code; "" when there is none. */
static char *sqlstate_cut(struct hf_arena *arena, const char *text, char ret_sqlstate[6])
{
    char *out = hf_strdup(arena, text);

    ret_sqlstate[0] = '\0';
    for (char *p = strstr(out, ":  "); p != NULL; p = strstr(p + 1, ":  ")) {
        if (is_sqlstate(p + 3)) {
            memcpy(ret_sqlstate, p + 3, 5);
            ret_sqlstate[5] = '\0';
            memmove(p + 2, p + 10, strlen(p + 10) + 1);
        }
    }
    return out;
}

struct hf_status pgwire_fail_connect(struct hf_ctx *ctx, const struct pgwire_conn *conn)
{
    static const struct rule unreachable = {"", NULL, HF_UNAVAILABLE, "HOST_UNREACHABLE", NULL};
    static const struct rule wrong_role = {"", NULL, HF_FAILED_PRECONDITION, "WRONG_SERVER_ROLE",
                                           NULL};
    static const struct rule no_password = {"", NULL, HF_PERMISSION_DENIED, "AUTHENTICATION_FAILED",
                                            NULL};
    struct rule no_replication = {"", NULL, HF_PERMISSION_DENIED, "ROLE_LACKS_REPLICATION", NULL};
    char sqlstate[6];
    const char *text = sqlstate_cut(ctx->arena, PQerrorMessage(conn->pg), sqlstate);
    const char *user = PQuser(conn->pg);

    if (conn->mode == PGWIRE_REPLICATION && strcmp(sqlstate, "42501") == 0) {
        no_replication.fix = hf_printf(ctx->arena, "on the source run: ALTER ROLE %s REPLICATION;",
                                       pgwire_quote_name(ctx->arena, user != NULL ? user : "role"));
        return rule_fail(ctx, conn, &no_replication, sqlstate, text);
    }
    if (sqlstate[0] != '\0') {
        return pgwire_fail(ctx, conn, sqlstate, text);
    }
    if (PQconnectionNeedsPassword(conn->pg)) {
        return rule_fail(ctx, conn, &no_password, "", text);
    }
    if (strstr(text, "hot standby mode") != NULL || strstr(text, "read-only") != NULL) {
        return rule_fail(ctx, conn, &wrong_role, "", text);
    }
    return rule_fail(ctx, conn, &unreachable, "", text);
}
