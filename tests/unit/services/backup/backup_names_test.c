/* Resource names: what parses, what is refused. */
#include "backup/domain/names.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static void test_name__parses_every_shape(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct resource_name name;

    (void)state;
    assert_int_equal(name_parse(arena, "parent", "tenants/default", NAME_TENANT, &name).code,
                     HF_OK);
    assert_string_equal(name.tenant, "default");
    assert_int_equal(
        name_parse(arena, "name", "tenants/a/clusters/orders/backups/b1", NAME_BACKUP, &name).code,
        HF_OK);
    assert_string_equal(name.cluster, "orders");
    assert_string_equal(name.id, "b1");
    assert_int_equal(name_parse(arena, "name",
                                "tenants/a/jobs/0190a5b2-0000-7000-8000-000000000001", NAME_JOB,
                                &name)
                         .code,
                     HF_OK);
    assert_int_equal(name_parse(arena, "parent", "tenants/a/clusters/-", NAME_CLUSTER, &name).code,
                     HF_OK);
}

static void test_name__refuses_what_is_not_one(void **state)
{
    static const struct {
        const char *text;
        enum name_shape shape;
    } bad[] = {
        {NULL, NAME_TENANT},
        {"", NAME_TENANT},
        {"tenants", NAME_TENANT},
        {"tenants/", NAME_TENANT},
        {"tenants/A", NAME_TENANT},
        {"tenants/a/", NAME_TENANT},
        {"tenants/a/clusters/b", NAME_TENANT},
        {"tenants/a/clusters/..", NAME_CLUSTER},
        {"tenants/a/clusters/b/c", NAME_CLUSTER},
        {"tenants/a/clusters/-/backups/x", NAME_BACKUP},
        {"tenants/a/clusters/b/restores/x", NAME_BACKUP},
        {"tenants/a/clusters/b/backups/x;y", NAME_BACKUP},
        {"tenants/a/jobs/1", NAME_JOB},
        {"tenants/-/jobs/0190a5b2-0000-7000-8000-000000000001", NAME_JOB},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct resource_name name;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct hf_status status = name_parse(arena, "name", bad[i].text, bad[i].shape, &name);

        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_string_equal(status.info->reason, "INVALID_NAME");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name__parses_every_shape),
        cmocka_unit_test(test_name__refuses_what_is_not_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
