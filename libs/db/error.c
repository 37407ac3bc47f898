/* From SQLSTATE to a status: one table, the longest prefix wins. The server's DETAIL is never
 * repeated, because it quotes values of rows that the caller may not be allowed to see. */
#include "db/error.h"

#include <string.h>

#include "base/check.h"
#include "db/db.h"

struct state_row {
    const char *prefix;
    enum hf_code code;
    const char *reason;
};

static const struct state_row states[] = {
    {"08", HF_UNAVAILABLE, "CONNECTION"},
    {"22", HF_INVALID_ARGUMENT, "VALUE"},
    {"23502", HF_INVALID_ARGUMENT, "NOT_NULL"},
    {"23503", HF_FAILED_PRECONDITION, "FOREIGN_KEY"},
    {"23505", HF_ALREADY_EXISTS, "UNIQUE"},
    {"23514", HF_INVALID_ARGUMENT, "CHECK"},
    {"40", HF_ABORTED, "SERIALIZATION"},
    {"42501", HF_PERMISSION_DENIED, "PRIVILEGE"},
    {"53", HF_RESOURCE_EXHAUSTED, "SERVER_RESOURCES"},
    {"54", HF_INVALID_ARGUMENT, "LIMIT"},
    {"55P03", HF_ABORTED, "LOCK_NOT_AVAILABLE"},
    {"57014", HF_DEADLINE_EXCEEDED, "STATEMENT_CANCELLED"},
    {"57P", HF_UNAVAILABLE, "SERVER_STOPPING"},
    {"58", HF_UNAVAILABLE, "SERVER_SYSTEM"},
};

static const struct state_row *row_of(const char *sqlstate)
{
    static const struct state_row other = {"", HF_INTERNAL, "SQL"};
    const struct state_row *best = &other;

    for (size_t i = 0; i < HF_LEN(states); i++) {
        size_t len = strlen(states[i].prefix);
        if (strncmp(sqlstate, states[i].prefix, len) == 0 && len > strlen(best->prefix)) {
            best = &states[i];
        }
    }
    return best;
}

static const char *field_of(const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);
    return text == NULL ? "" : text;
}

struct hf_status db_error_of(struct hf_arena *arena, const PGresult *result)
{
    const char *sqlstate = field_of(result, PG_DIAG_SQLSTATE);
    const struct state_row *row = row_of(sqlstate);
    const char *const metadata[] = {"sqlstate", sqlstate, "constraint",
                                    field_of(result, PG_DIAG_CONSTRAINT_NAME), NULL};

    return hf_fail_info(arena, row->code, row->reason, metadata, "database: %s",
                        field_of(result, PG_DIAG_MESSAGE_PRIMARY));
}

/* libpq ends its texts with a newline and may give several lines; one line is enough. */
struct hf_status db_error_lost(struct hf_arena *arena, const PGconn *pg)
{
    const char *text = PQerrorMessage(pg);
    const char *const metadata[] = {NULL};

    text = text == NULL || text[0] == '\0' ? "connection lost" : text;
    size_t len = strcspn(text, "\n");
    return hf_fail_info(arena, HF_UNAVAILABLE, "CONNECTION", metadata, "state database: %.*s",
                        (int)(len > 500 ? 500 : len), text);
}

static const char *metadata_of(const struct hf_error_info *info, const char *key)
{
    for (size_t i = 0; i < info->metadata_len; i++) {
        if (strcmp(info->metadata[i].key, key) == 0) {
            return info->metadata[i].value;
        }
    }
    return "";
}

bool db_is_unique_violation(struct hf_status status, const char *constraint)
{
    return status.code == HF_ALREADY_EXISTS && status.info != NULL &&
           strcmp(metadata_of(status.info, "constraint"), constraint) == 0;
}
