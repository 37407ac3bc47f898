/* The text of a .pgpass file. Pure: who reads the file hands its text in. */
#include <string.h>

#include "pgwire/dsn.h"

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
