/* Names: of resources, of the product, of objects in a vault. What is accepted holds nothing that a
 * path, a statement or a header could take for something else, and is made again from its parts. */
#include <string.h>

#include "backup/domain/names.h"
#include "base/check.h"
#include "base/str.h"
#include "objstore/objstore.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 4 << 20, TEXT_MAX = 8192 };

static void check_part(const char *part)
{
    HF_CHECK(part == NULL || strspn(part, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(part));
    HF_CHECK(part == NULL || strlen(part) <= 40);
}

static char *made_again(struct hf_arena *arena, enum name_shape shape,
                        const struct resource_name *name)
{
    switch (shape) {
    case NAME_TENANT:
        return hf_printf(arena, "tenants/%s", name->tenant);
    case NAME_CLUSTER:
        return name_cluster(arena, name->tenant, name->cluster);
    case NAME_BACKUP:
        return name_backup(arena, name->tenant, name->cluster, name->id);
    case NAME_RESTORE:
        return name_restore(arena, name->tenant, name->cluster, name->id);
    case NAME_JOB:
        return name_job(arena, name->tenant, name->id);
    }
    return NULL;
}

static void check_resource(struct hf_arena *arena, const char *text, enum name_shape shape)
{
    struct resource_name name = {0};
    struct hf_status status = name_parse(arena, "name", text, shape, &name);

    if (!hf_is_ok(status)) {
        HF_CHECK(status.code == HF_INVALID_ARGUMENT && status.info != NULL);
        HF_CHECK(hf_is_utf8(status.message, strlen(status.message)));
        return;
    }
    check_part(name.tenant);
    check_part(name.cluster);
    check_part(name.id);
    HF_CHECK(strcmp(made_again(arena, shape, &name), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);

    if (size > TEXT_MAX || !hf_is_utf8((const char *)data, size)) {
        return 0; /* no message brings other text here */
    }
    const char *text = hf_strndup(arena, (const char *)data, size);

    for (int shape = NAME_TENANT; shape <= NAME_JOB; shape++) {
        check_resource(arena, text, (enum name_shape)shape);
    }
    if (hf_is_name(text)) {
        check_part(text);
    }
    if (objstore_is_name(text)) {
        HF_CHECK(text[0] != '/' && text[0] != '.' && strstr(text, "/.") == NULL);
        HF_CHECK(strstr(text, "//") == NULL && strlen(text) <= OBJSTORE_NAME_MAX);
    }
    return 0;
}
