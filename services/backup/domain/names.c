/* Resource names by shape. The surprise: ids are checked by the same grammar as names, so that no
 * field of a request reaches SQL, an object name or a path unchecked. */
#include "backup/domain/names.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"

static const struct shape_row {
    enum name_shape shape;
    const char *form;
    const char *collection; /* NULL: none below the cluster or tenant */
    bool has_cluster;
} shapes[] = {
    {NAME_TENANT, "tenants/{tenant}", NULL, false},
    {NAME_CLUSTER, "tenants/{tenant}/clusters/{cluster}", NULL, true},
    {NAME_BACKUP, "tenants/{tenant}/clusters/{cluster}/backups/{backup}", "backups", true},
    {NAME_RESTORE, "tenants/{tenant}/clusters/{cluster}/restores/{restore}", "restores", true},
    {NAME_JOB, "tenants/{tenant}/jobs/{job}", "jobs", false},
};

/* Cut the next part off *rest; NULL at the end. */
static const char *next_part(struct hf_arena *arena, const char **rest)
{
    if (*rest == NULL) {
        return NULL;
    }
    const char *slash = strchr(*rest, '/');
    const char *part = NULL;

    if (slash == NULL) {
        part = hf_strdup(arena, *rest);
        *rest = NULL;
    } else {
        part = hf_strndup(arena, *rest, (size_t)(slash - *rest));
        *rest = slash + 1;
    }
    return part;
}

static bool take_pair(struct hf_arena *arena, const char **rest, const char *collection,
                      const char **ret_id)
{
    const char *found = next_part(arena, rest);
    const char *id = next_part(arena, rest);

    if (found == NULL || id == NULL || !hf_text_equal(found, collection)) {
        return false;
    }
    *ret_id = id;
    return true;
}

/* Job ids are UUIDs and may begin with a digit. */
static bool is_id(const char *text, enum name_shape shape)
{
    if (shape != NAME_JOB) {
        return hf_is_name(text);
    }
    return strlen(text) == 36 && strspn(text, "0123456789abcdef-") == 36;
}

static bool parse(struct hf_arena *arena, const struct shape_row *row, const char *text,
                  struct resource_name *ret_name)
{
    struct resource_name name = {0};
    const char *rest = text;

    if (!take_pair(arena, &rest, "tenants", &name.tenant) || !hf_is_name(name.tenant)) {
        return false;
    }
    if (row->has_cluster) {
        if (!take_pair(arena, &rest, "clusters", &name.cluster)) {
            return false;
        }
        bool is_any = row->shape == NAME_CLUSTER && hf_text_equal(name.cluster, "-");
        if (!is_any && !hf_is_name(name.cluster)) {
            return false;
        }
    }
    if (row->collection != NULL &&
        (!take_pair(arena, &rest, row->collection, &name.id) || !is_id(name.id, row->shape))) {
        return false;
    }
    if (rest != NULL) {
        return false;
    }
    *ret_name = name;
    return true;
}

struct hf_status name_parse(struct hf_arena *arena, const char *field, const char *text,
                            enum name_shape shape, struct resource_name *ret_name)
{
    const struct shape_row *row = &shapes[shape];

    HF_CHECK(row->shape == shape);
    if (text == NULL || strlen(text) > 200 || !parse(arena, row, text, ret_name)) {
        const char *const metadata[] = {"field", field, "form", row->form, NULL};

        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_NAME", metadata,
                            "%s must have the form %s", field, row->form);
    }
    return hf_success();
}

char *name_cluster(struct hf_arena *arena, const char *tenant, const char *cluster)
{
    return hf_printf(arena, "tenants/%s/clusters/%s", tenant, cluster);
}

char *name_backup(struct hf_arena *arena, const char *tenant, const char *cluster, const char *id)
{
    return hf_printf(arena, "tenants/%s/clusters/%s/backups/%s", tenant, cluster, id);
}

char *name_restore(struct hf_arena *arena, const char *tenant, const char *cluster, const char *id)
{
    return hf_printf(arena, "tenants/%s/clusters/%s/restores/%s", tenant, cluster, id);
}

char *name_job(struct hf_arena *arena, const char *tenant, const char *id)
{
    return hf_printf(arena, "tenants/%s/jobs/%s", tenant, id);
}
