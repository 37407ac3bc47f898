/* Roles as sets of permissions "<resource>.<verb>". A row matches by resource and verb, "*" matches
 * all. What no row grants is forbidden. */
#include <string.h>

#include "auth/auth.h"
#include "base/check.h"

struct grant_row {
    const char *role;
    const char *resource;
    const char *verb;
};

static const struct grant_row grants[] = {
    {"admin", "*", "*"},

    {"operator", "*", "get"},
    {"operator", "*", "list"},
    {"operator", "*", "watch"},
    {"operator", "backups", "create"},
    {"operator", "backups", "verify"},
    {"operator", "jobs", "cancel"},
    {"operator", "jobs", "retry"},
    {"operator", "restores", "*"},
    {"operator", "objects", "read"},
    {"operator", "wal", "push"},

    {"viewer", "*", "get"},
    {"viewer", "*", "list"},
    {"viewer", "*", "watch"},
};

static bool matches(const char *pattern, const char *text, size_t len)
{
    return strcmp(pattern, "*") == 0 ||
           (strlen(pattern) == len && strncmp(pattern, text, len) == 0);
}

bool auth_role_allows(const char *role, const char *permission)
{
    const char *dot = strchr(permission, '.');

    if (dot == NULL) {
        return false;
    }
    for (size_t i = 0; i < HF_LEN(grants); i++) {
        const struct grant_row *row = &grants[i];
        if (strcmp(row->role, role) == 0 &&
            matches(row->resource, permission, (size_t)(dot - permission)) &&
            matches(row->verb, dot + 1, strlen(dot + 1))) {
            return true;
        }
    }
    return false;
}

bool auth_role_exists(const char *role)
{
    for (size_t i = 0; i < HF_LEN(grants); i++) {
        if (strcmp(grants[i].role, role) == 0) {
            return true;
        }
    }
    return false;
}
