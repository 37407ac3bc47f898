/* Judging names. Surprise: a control character in a name harms nobody on the disk, but every
 * terminal and log that shows it; no file of PostgreSQL has one. */
#include "pgformat/path.h"

#include <string.h>

#include "base/str.h"

static bool part_is_sane(const char *part, size_t len)
{
    bool is_dots = (len == 1 || len == 2) && memcmp(part, "..", len) == 0;

    if (len == 0 || len > PGF_PATH_PART_MAX || is_dots) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)part[i] < ' ' || part[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool pgf_path_is_sane(const char *path)
{
    size_t depth = 0;

    if (strnlen(path, PGF_PATH_MAX + 1) > PGF_PATH_MAX) {
        return false;
    }
    for (const char *part = path;;) {
        size_t len = strcspn(part, "/");

        if (!part_is_sane(part, len) || ++depth > PGF_PATH_DEPTH_MAX) {
            return false;
        }
        if (part[len] == '\0') {
            return true;
        }
        part += len + 1;
    }
}

bool pgf_path_in_tablespace(const char *path, uint32_t *ret_oid, const char **ret_rest)
{
    static const char prefix[] = "pg_tblspc/";
    uint64_t oid = 0;

    if (!hf_has_prefix(path, prefix)) {
        return false;
    }
    const char *at = path + sizeof(prefix) - 1;

    if (*at < '1' || *at > '9') {
        return false;
    }
    while (*at >= '0' && *at <= '9' && oid <= UINT32_MAX) {
        oid = oid * 10 + (uint64_t)(*at++ - '0');
    }
    if (oid > UINT32_MAX || (*at != '/' && *at != '\0')) {
        return false;
    }
    *ret_oid = (uint32_t)oid;
    *ret_rest = *at == '/' ? at + 1 : at;
    return true;
}
