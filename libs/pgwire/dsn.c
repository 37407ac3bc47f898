/* Connection strings. Surprise: one DSN is split into single hosts here instead of leaving the list
 * to libpq, because libpq's non-blocking connect waits for ever on a host that swallows packets. */
#include "pgwire/dsn.h"

#include <libpq-fe.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/str.h"

#define DSN_MAX 16384
#define HOSTS_MAX 32

HF_DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

static const char *const forbidden[] = {"password", "passfile", "service", "sslpassword"};

static const char *option_get(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        if (strcmp(option->keyword, keyword) == 0) {
            return option->val != NULL ? option->val : "";
        }
    }
    return "";
}

/* libpq's own message is not passed on: it may repeat parts of the string, thus a password. */
static struct hf_status options_parse(struct hf_arena *arena, const char *dsn,
                                      PQconninfoOption **ret_options)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;
    char *message = NULL;

    if (dsn == NULL || strlen(dsn) > DSN_MAX) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "the connection string is missing or longer than %d bytes", DSN_MAX);
    }
    options = PQconninfoParse(dsn, &message);
    if (message != NULL) {
        PQfreemem(message);
    }
    if (options == NULL) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "not a connection string: expected \"host=… user=… dbname=…\" or "
                            "postgresql://user@host/dbname");
    }
    for (size_t i = 0; i < HF_LEN(forbidden); i++) {
        if (option_get(options, forbidden[i])[0] != '\0') {
            return hf_fail_info(arena, HF_INVALID_ARGUMENT, "PASSWORD_IN_DSN", NULL,
                                "the connection string must not hold \"%s\": give the password "
                                "with --password-stdin or --password-file",
                                forbidden[i]);
        }
    }
    *ret_options = HF_TAKE(options);
    return hf_success();
}

struct hf_status pgwire_dsn_check(struct hf_arena *arena, const char *dsn)
{
    struct pgwire_dsn parsed;

    return pgwire_dsn_parse(arena, dsn, &parsed);
}

static size_t list_len(const char *list)
{
    size_t len = 1;

    for (const char *p = strchr(list, ','); p != NULL; p = strchr(p + 1, ',')) {
        len++;
    }
    return len;
}

/* Item of a comma list; the only item stands for all; "" behind the end. */
static char *list_item(struct hf_arena *arena, const char *list, size_t index)
{
    if (list_len(list) == 1) {
        return hf_strdup(arena, list);
    }
    for (; index > 0; index--) {
        list = strchr(list, ',');
        if (list == NULL) {
            return hf_strdup(arena, "");
        }
        list++;
    }
    return hf_strndup(arena, list, strcspn(list, ","));
}

static size_t hosts_count(const PQconninfoOption *options)
{
    size_t hosts = list_len(option_get(options, "host"));
    size_t addresses = list_len(option_get(options, "hostaddr"));

    return hosts > addresses ? hosts : addresses;
}

struct hf_status pgwire_dsn_parse(struct hf_arena *arena, const char *dsn,
                                  struct pgwire_dsn *ret_dsn)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;
    struct pgwire_host *hosts;
    size_t count, ports;

    HF_TRY(options_parse(arena, dsn, &options));
    count = hosts_count(options);
    ports = list_len(option_get(options, "port"));
    if (count > HOSTS_MAX || (ports != 1 && ports != count)) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "the connection string names %zu hosts and %zu ports (at most %d)",
                            count, ports, HOSTS_MAX);
    }
    hosts = HF_NEW_N(arena, struct pgwire_host, count);
    for (size_t i = 0; i < count; i++) {
        hosts[i].host = list_item(arena, option_get(options, "host"), i);
        if (hosts[i].host[0] == '\0') {
            hosts[i].host = list_item(arena, option_get(options, "hostaddr"), i);
        }
        hosts[i].port = list_item(arena, option_get(options, "port"), i);
        if (hosts[i].port[0] == '\0') {
            hosts[i].port = "5432";
        }
    }
    *ret_dsn = (struct pgwire_dsn){hosts, count, hf_strdup(arena, option_get(options, "user")),
                                   hf_strdup(arena, option_get(options, "dbname"))};
    return hf_success();
}

static void option_print(struct hf_buf *out, const char *keyword, const char *value)
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

struct hf_status pgwire_dsn_single(struct hf_arena *arena, const char *dsn, size_t index,
                                   char **ret_dsn)
{
    static const char *const lists[] = {"host", "hostaddr", "port"};
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};

    HF_TRY(options_parse(arena, dsn, &options));
    hf_buf_init(&out, 4 * DSN_MAX);
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        const char *value = option->val != NULL ? option->val : "";

        for (size_t i = 0; i < HF_LEN(lists); i++) {
            if (strcmp(option->keyword, lists[i]) == 0) {
                value = list_item(arena, value, index);
            }
        }
        option_print(&out, option->keyword, value);
    }
    HF_TRY(hf_buf_status(&out, arena, "connection string"));
    *ret_dsn = hf_strdup(arena, hf_buf_text(&out));
    return hf_success();
}

/* One field of a .pgpass line, unescaped; moves *p behind its colon. */
static char *pgpass_field(struct hf_arena *arena, const char **p, const char *end)
{
    char *out = hf_alloc(arena, (size_t)(end - *p) + 1);
    size_t len = 0;

    while (*p < end && **p != ':') {
        if (**p == '\\' && *p + 1 < end) {
            (*p)++;
        }
        out[len++] = *(*p)++;
    }
    out[len] = '\0';
    if (*p < end) {
        (*p)++;
    }
    return out;
}

static bool pgpass_matches(const char *field, const char *value)
{
    return strcmp(field, "*") == 0 || strcmp(field, value) == 0;
}

/* Both of our connections use one password: the walsender's database is called "replication". */
static bool pgpass_database_matches(const char *field, const struct pgwire_dsn *dsn)
{
    return pgpass_matches(field, dsn->dbname[0] != '\0' ? dsn->dbname : "postgres") ||
           strcmp(field, "replication") == 0;
}

static char *pgpass_line(struct hf_arena *arena, const char *line, const char *end,
                         const struct pgwire_dsn *dsn)
{
    const char *host = dsn->hosts[0].host;
    bool is_local = host[0] == '\0' || strcmp(host, "/var/run/postgresql") == 0;
    const char *p = line;

    if (*line == '#' ||
        !pgpass_matches(pgpass_field(arena, &p, end), is_local ? "localhost" : host) ||
        !pgpass_matches(pgpass_field(arena, &p, end), dsn->hosts[0].port) ||
        !pgpass_database_matches(pgpass_field(arena, &p, end), dsn) ||
        !pgpass_matches(pgpass_field(arena, &p, end), dsn->user)) {
        return NULL;
    }
    return pgpass_field(arena, &p, end);
}

char *pgwire_pgpass_find(struct hf_arena *arena, const char *pgpass, const struct pgwire_dsn *dsn)
{
    for (const char *line = pgpass; *line != '\0';) {
        size_t len = strcspn(line, "\r\n");
        char *password = len > 0 ? pgpass_line(arena, line, line + len, dsn) : NULL;

        if (password != NULL) {
            return password;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return NULL;
}
