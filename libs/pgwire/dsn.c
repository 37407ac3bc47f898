/* Connection strings. Surprise: one DSN is split into single hosts here instead of leaving the list
 * to libpq, because libpq's non-blocking connect waits for ever on a host that swallows packets,
 * and because a name is resolved and judged before libpq sees any address.
 *
 * A connection string is hostile input: keywords that make libpq open files, load code or act with
 * what belongs to this process are not taken. The two tables below are all there is to know. */
#include "pgwire/dsn.h"

#include <libpq-fe.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "pgwire/internal.h"

#define DSN_MAX 4096
#define STORED_MAX 16384 /* four bytes a character of the column */
#define VALUE_MAX 255
#define KEYWORD_MAX 40
#define HOSTS_MAX 32
#define NUMBER_MAX 86400
#define CHOICES_MAX 8

HF_DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

enum value_kind { VALUE_LIST, VALUE_TEXT, VALUE_NUMBER, VALUE_CHOICE };

/* What may be said; choices of sslmode and channel_binding from the weakest to the strongest. */
static const struct keyword {
    const char *name;
    enum value_kind kind;
    const char *choices[CHOICES_MAX];
} allowed[] = {
    {"host", VALUE_LIST, {0}},
    {"hostaddr", VALUE_LIST, {0}},
    {"port", VALUE_LIST, {0}},
    {"user", VALUE_TEXT, {0}},
    {"dbname", VALUE_TEXT, {0}},
    {"sslmode",
     VALUE_CHOICE,
     {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
    {"connect_timeout", VALUE_NUMBER, {0}},
    {"target_session_attrs",
     VALUE_CHOICE,
     {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
    {"channel_binding", VALUE_CHOICE, {"disable", "prefer", "require"}},
    {"keepalives", VALUE_NUMBER, {0}},
    {"keepalives_idle", VALUE_NUMBER, {0}},
    {"keepalives_interval", VALUE_NUMBER, {0}},
    {"keepalives_count", VALUE_NUMBER, {0}},
};

#define UPLOAD                                                                                     \
    "names a file of the service's machine: upload the certificates with --ca-file, --cert-file "  \
    "and --key-file"

#define REVOCATIONS                                                                                \
    "names a file of the service's machine, and lists of revoked certificates are not uploaded: "  \
    "leave it out, and let another authority (--ca-file) sign when a key is lost"

/* What may not, and why. Rows that were registered before the list existed keep what is harmless;
 * what is_never says makes libpq load code or read secrets of this machine. The last row stands for
 * all others. */
static const struct refusal {
    const char *name; /* NULL: any */
    const char *reason;
    const char *why;
    bool is_never;
} refused[] = {
    {"password", "PASSWORD_IN_DSN",
     "must not stand in a connection string: give it with --password-stdin or --password-file",
     true},
    {"sslpassword", "PASSWORD_IN_DSN",
     "must not stand in a connection string (nor --password-stdin, --password-file): upload a key "
     "without passphrase with --key-file",
     true},
    {"passfile", "DSN_PASSFILE",
     "names a file of the service's machine: give the password with --password-stdin or "
     "--password-file",
     true},
    {"service", "DSN_SERVICE",
     "names an entry of a file of the service's machine: write host, port, user and dbname", true},
    {"options", "DSN_OPTIONS",
     "sets parameters of the server's session: set them with ALTER ROLE on the source", false},
    {"sslkey", "DSN_CLIENT_FILE", UPLOAD, false},
    {"sslcert", "DSN_CLIENT_FILE", UPLOAD, false},
    {"sslrootcert", "DSN_CLIENT_FILE", UPLOAD, false},
    {"sslcrl", "DSN_CLIENT_FILE", REVOCATIONS, false},
    {"sslcrldir", "DSN_CLIENT_FILE", REVOCATIONS, false},
    {"krbsrvname", "DSN_GSS", "belongs to GSSAPI, which is not used: leave it out", false},
    {"gsslib", "DSN_GSS", "belongs to GSSAPI, which is not used: leave it out", false},
    {"gssencmode", "DSN_GSS", "belongs to GSSAPI, which is not used: leave it out", false},
    {"application_name", "DSN_OURS", "is chosen by Holdfast: leave it out", false},
    {"fallback_application_name", "DSN_OURS", "is chosen by Holdfast: leave it out", false},
    {"client_encoding", "DSN_OURS", "is chosen by Holdfast: leave it out", false},
    {"replication", "DSN_OURS", "is chosen by Holdfast: leave it out", false},
    {"requirepeer", "DSN_REQUIREPEER",
     "is not taken: sockets are judged by the directories that the operator lists", false},
    {NULL, "DSN_KEYWORD",
     "is not taken: host, hostaddr, port, user, dbname, sslmode, connect_timeout, "
     "target_session_attrs, channel_binding and keepalives* are",
     false},
};

static bool is_set(const PQconninfoOption *option)
{
    return option->val != NULL && option->val[0] != '\0';
}

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

static const struct keyword *allowed_find(const char *name)
{
    for (size_t i = 0; i < HF_LEN(allowed); i++) {
        if (strcmp(allowed[i].name, name) == 0) {
            return &allowed[i];
        }
    }
    return NULL;
}

static const struct refusal *refusal_find(const char *name)
{
    size_t i = 0;

    while (refused[i].name != NULL && strcmp(refused[i].name, name) != 0) {
        i++;
    }
    return &refused[i];
}

/* "engine:key" makes libpq load a library; no file that anybody has is called so. */
static bool is_engine(const PQconninfoOption *option)
{
    return strcmp(option->keyword, "sslkey") == 0 && strchr(option->val, ':') != NULL;
}

static struct hf_status refuse(struct hf_arena *arena, const char *keyword, const char *reason,
                               const char *why)
{
    const char *const metadata[] = {"keyword", keyword, NULL};

    return hf_fail_info(arena, HF_INVALID_ARGUMENT, reason, metadata,
                        "\"%s\" of the connection string %s", keyword, why);
}

static struct hf_status refuse_engine(struct hf_arena *arena)
{
    return refuse(arena, "sslkey", "DSN_ENGINE",
                  "names an engine, which would be loaded into the service: upload the key with "
                  "--key-file");
}

/* The keyword that libpq does not know, out of its message; NULL: it is none, or could be a piece
 * of a password that was not quoted. */
static const char *unknown_keyword(struct hf_arena *arena, const char *dsn, const char *message)
{
    static const char *const heads[] = {"invalid connection option \"",
                                        "invalid URI query parameter: \""};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";

    for (size_t i = 0; message != NULL && i < HF_LEN(heads); i++) {
        if (!hf_has_prefix(message, heads[i]) || strstr(dsn, "pass") != NULL) {
            continue;
        }
        const char *name = message + strlen(heads[i]);
        size_t len = strspn(name, letters);

        return name[len] == '"' && len <= KEYWORD_MAX ? hf_strndup(arena, name, len) : NULL;
    }
    return NULL;
}

static struct hf_status refuse_text(struct hf_arena *arena, const char *unknown)
{
    const struct refusal *any = refusal_find("");

    return unknown != NULL
               ? refuse(arena, unknown, any->reason, any->why)
               : hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                              "not a connection string: expected \"host=… user=… dbname=…\" or "
                              "postgresql://user@host/dbname");
}

/* libpq's own message is not passed on: it may repeat parts of the string, thus a password. */
static struct hf_status options_parse(struct hf_arena *arena, const char *dsn,
                                      PQconninfoOption **ret_options)
{
    char *message = NULL;

    if (dsn == NULL || strlen(dsn) > STORED_MAX) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "the connection string is missing or too long");
    }
    PQconninfoOption *options = PQconninfoParse(dsn, &message);
    const char *unknown = unknown_keyword(arena, dsn, message);

    if (message != NULL) {
        PQfreemem(message);
    }
    if (options == NULL) {
        return refuse_text(arena, unknown);
    }
    *ret_options = options;
    return hf_success();
}

/* What no row may make us do, however old it is. */
static struct hf_status check_never(struct hf_arena *arena, const PQconninfoOption *options)
{
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        const struct refusal *refusal = refusal_find(option->keyword);

        if (is_set(option) && is_engine(option)) {
            return refuse_engine(arena);
        }
        if (is_set(option) && refusal->is_never) {
            return refuse(arena, option->keyword, refusal->reason, refusal->why);
        }
    }
    return hf_success();
}

static bool is_choice(const struct keyword *keyword, const char *value)
{
    for (size_t i = 0; i < CHOICES_MAX && keyword->choices[i] != NULL; i++) {
        if (strcmp(keyword->choices[i], value) == 0) {
            return true;
        }
    }
    return false;
}

/* What a screen does not show as it is would come back changed from whoever reads the string,
 * changes a word and writes it. */
static bool is_plain(const char *value)
{
    char shown[DSN_MAX + 1];

    (void)hf_text_show_in(shown, DSN_MAX, value, strlen(value));
    return strcmp(shown, value) == 0;
}

static bool is_fit(const struct keyword *keyword, const char *value)
{
    uint64_t number = 0;

    switch (keyword->kind) {
    case VALUE_LIST:
        return is_plain(value);
    case VALUE_TEXT:
        return strlen(value) <= VALUE_MAX && is_plain(value);
    case VALUE_NUMBER:
        return hf_parse_u64(value, &number) && number <= NUMBER_MAX;
    case VALUE_CHOICE:
        return is_choice(keyword, value);
    }
    return false;
}

bool pgwire_option_is_taken(const PQconninfoOption *option)
{
    const struct keyword *keyword = allowed_find(option->keyword);

    return is_set(option) && keyword != NULL && is_fit(keyword, option->val);
}

/* ": disable, allow …", or "". */
static const char *choices_text(struct hf_arena *arena, const struct keyword *keyword)
{
    const char *text = "";

    for (size_t i = 0; i < CHOICES_MAX && keyword->choices[i] != NULL; i++) {
        text = hf_printf(arena, "%s%s%s", text, i == 0 ? ": " : ", ", keyword->choices[i]);
    }
    return text;
}

static struct hf_status check_allowed(struct hf_arena *arena, const PQconninfoOption *options)
{
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        const struct keyword *keyword = allowed_find(option->keyword);
        const struct refusal *refusal = refusal_find(option->keyword);
        const char *const metadata[] = {"keyword", option->keyword, NULL};

        if (!is_set(option)) {
            continue;
        }
        if (keyword == NULL) {
            return refuse(arena, option->keyword, refusal->reason, refusal->why);
        }
        if (!is_fit(keyword, option->val)) {
            return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", metadata,
                                "the value of \"%s\" in the connection string is not one that "
                                "fits%s",
                                option->keyword, choices_text(arena, keyword));
        }
    }
    return hf_success();
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

/* Lists of one length each, or one for all; ports are numbers. */
static struct hf_status check_hosts(struct hf_arena *arena, const PQconninfoOption *options)
{
    const char *hosts = option_get(options, "host");
    const char *addresses = option_get(options, "hostaddr");
    size_t count = hosts_count(options);
    size_t ports = list_len(option_get(options, "port"));

    if (count > HOSTS_MAX || (ports != 1 && ports != count) ||
        (*hosts != '\0' && *addresses != '\0' && list_len(hosts) != list_len(addresses))) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "the connection string names %zu hosts and %zu ports (at most %d)",
                            count, ports, HOSTS_MAX);
    }
    for (size_t i = 0; i < ports; i++) {
        const char *port = list_item(arena, option_get(options, "port"), i);
        uint64_t number = 0;

        if (*port != '\0' && (!hf_parse_u64(port, &number) || number == 0 || number > UINT16_MAX)) {
            return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                                "a port of the connection string is no number from 1 to 65535");
        }
    }
    return hf_success();
}

static void hosts_load(struct hf_arena *arena, const PQconninfoOption *options,
                       struct pgwire_dsn *dsn)
{
    size_t count = hosts_count(options);
    struct pgwire_host *hosts = HF_NEW_N(arena, struct pgwire_host, count);

    for (size_t i = 0; i < count; i++) {
        hosts[i].host = list_item(arena, option_get(options, "host"), i);
        hosts[i].address = list_item(arena, option_get(options, "hostaddr"), i);
        hosts[i].port = list_item(arena, option_get(options, "port"), i);
        if (hosts[i].host[0] == '\0') {
            hosts[i].host = hosts[i].address;
        }
        if (hosts[i].port[0] == '\0') {
            hosts[i].port = "5432";
        }
    }
    dsn->hosts = hosts;
    dsn->hosts_len = count;
}

/* All else that the string says, for libpq. */
static void settings_load(struct hf_arena *arena, const PQconninfoOption *options,
                          struct pgwire_dsn *dsn)
{
    struct hf_pair *settings;
    size_t len = 0;

    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        len += is_set(option) ? 1 : 0;
    }
    settings = HF_NEW_N(arena, struct hf_pair, len + 1);
    len = 0;
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        const struct keyword *keyword = allowed_find(option->keyword);

        if (is_set(option) && (keyword == NULL || keyword->kind != VALUE_LIST)) {
            settings[len++] =
                (struct hf_pair){hf_strdup(arena, option->keyword), hf_strdup(arena, option->val)};
        }
    }
    dsn->settings = settings;
    dsn->settings_len = len;
}

struct hf_status pgwire_dsn_parse(struct hf_arena *arena, const char *dsn,
                                  struct pgwire_dsn *ret_dsn)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;

    HF_TRY(options_parse(arena, dsn, &options));
    HF_TRY(check_never(arena, options));
    HF_TRY(check_hosts(arena, options));
    hosts_load(arena, options, ret_dsn);
    settings_load(arena, options, ret_dsn);
    ret_dsn->user = hf_strdup(arena, option_get(options, "user"));
    ret_dsn->dbname = hf_strdup(arena, option_get(options, "dbname"));
    return hf_success();
}

struct hf_status pgwire_dsn_check(struct hf_arena *arena, const char *dsn)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;

    if (dsn == NULL || strlen(dsn) > DSN_MAX) {
        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_DSN", NULL,
                            "the connection string is missing or longer than %d bytes", DSN_MAX);
    }
    HF_TRY(options_parse(arena, dsn, &options));
    HF_TRY(check_never(arena, options));
    HF_TRY(check_allowed(arena, options));
    return check_hosts(arena, options);
}

struct hf_status pgwire_dsn_take(struct hf_arena *arena, const char *dsn, const char **ret_dsn)
{
    char *line;

    HF_TRY(pgwire_dsn_check(arena, dsn));
    line = hf_strdup(arena, dsn);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ') { /* in no value: thus white space between keywords */
            *p = ' ';
        }
    }
    *ret_dsn = line;
    return hf_success();
}

const char *pgwire_dsn_setting(const struct pgwire_dsn *dsn, const char *keyword)
{
    for (size_t i = 0; i < dsn->settings_len; i++) {
        if (strcmp(dsn->settings[i].key, keyword) == 0) {
            return dsn->settings[i].value;
        }
    }
    return NULL;
}

struct hf_status pgwire_dsn_listeners(struct hf_arena *arena, const char *conninfo,
                                      struct pgwire_dsn *ret_dsn)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;

    HF_TRY(options_parse(arena, conninfo, &options));
    HF_TRY(check_hosts(arena, options));
    *ret_dsn = (struct pgwire_dsn){.user = "", .dbname = ""};
    hosts_load(arena, options, ret_dsn);
    return hf_success();
}

/* Place in the list of choices, weakest first; what is not said stands for otherwise. */
static size_t strength_of(const PQconninfoOption *options, const char *name, const char *otherwise)
{
    const struct keyword *keyword = allowed_find(name);
    const char *value = option_get(options, name);
    size_t i = 0;

    if (value[0] == '\0') {
        value = otherwise;
    }
    while (i < CHOICES_MAX && keyword->choices[i] != NULL &&
           strcmp(keyword->choices[i], value) != 0) {
        i++;
    }
    return i;
}

static bool is_same_host(const struct pgwire_host *a, const struct pgwire_host *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->address, b->address) == 0 &&
           strcmp(a->port, b->port) == 0;
}

static bool has_host(const struct pgwire_dsn *dsn, const struct pgwire_host *host)
{
    for (size_t i = 0; i < dsn->hosts_len; i++) {
        if (is_same_host(&dsn->hosts[i], host)) {
            return true;
        }
    }
    return false;
}

/* Files of an earlier release verify as what is uploaded does, also at sslmode=require; what they
 * hold nobody compares. */
static bool has_same_files(const PQconninfoOption *before, const PQconninfoOption *after)
{
    static const char *const keywords[] = {"sslrootcert", "sslcrl", "sslcrldir"};
    bool is_same = true;

    for (size_t i = 0; i < HF_LEN(keywords); i++) {
        const char *old = option_get(before, keywords[i]);

        is_same = is_same && (old[0] == '\0' || strcmp(old, option_get(after, keywords[i])) == 0);
    }
    return is_same;
}

static bool is_no_weaker(const PQconninfoOption *before, const PQconninfoOption *after,
                         const struct pgwire_way *way_before, const struct pgwire_way *way_after)
{
    return strength_of(after, "sslmode", way_after->has_authority ? "verify-full" : "prefer") >=
               strength_of(before, "sslmode",
                           way_before->has_authority ? "verify-full" : "prefer") &&
           strength_of(after, "channel_binding", "prefer") >=
               strength_of(before, "channel_binding", "prefer") &&
           (way_after->has_authority || !way_before->has_authority) &&
           has_same_files(before, after);
}

bool pgwire_dsn_is_trusted(struct hf_arena *arena, const struct pgwire_way *before,
                           const struct pgwire_way *after)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *old = NULL;
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *new = NULL;
    struct pgwire_dsn hosts_old;
    struct pgwire_dsn hosts_new;

    if (!hf_is_ok(options_parse(arena, before->dsn, &old)) ||
        !hf_is_ok(options_parse(arena, after->dsn, &new)) || !hf_is_ok(check_hosts(arena, old)) ||
        !hf_is_ok(check_hosts(arena, new))) {
        return false;
    }
    hosts_load(arena, old, &hosts_old);
    hosts_load(arena, new, &hosts_new);
    for (size_t i = 0; i < hosts_new.hosts_len; i++) {
        if (!has_host(&hosts_old, &hosts_new.hosts[i])) {
            return false;
        }
    }
    return strcmp(option_get(old, "user"), option_get(new, "user")) == 0 &&
           is_no_weaker(old, new, before, after);
}

struct hf_status pgwire_dsn_single(struct hf_arena *arena, const char *dsn, size_t index,
                                   char **ret_dsn)
{
    static const char *const lists[] = {"host", "hostaddr", "port"};
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};

    HF_TRY(options_parse(arena, dsn, &options));
    hf_buf_init(&out, 4 * STORED_MAX);
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        const char *value = option->val != NULL ? option->val : "";

        for (size_t i = 0; i < HF_LEN(lists); i++) {
            if (strcmp(option->keyword, lists[i]) == 0) {
                value = list_item(arena, value, index);
            }
        }
        pgwire_option_print(&out, option->keyword, value);
    }
    HF_TRY(hf_buf_status(&out, arena, "connection string"));
    *ret_dsn = hf_strdup(arena, hf_buf_text(&out));
    return hf_success();
}
