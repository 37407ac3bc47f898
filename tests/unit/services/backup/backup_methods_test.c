/* The tables of methods against the protos: every method has one row of the right kind, a
 * permission that some role has, and a request that names its tenant. */
#include "auth/auth.h"
#include "backup/api/api.h"
#include "base/check.h"
#include "base/str.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "holdfast/jobs/v1/jobs.pb-c.h"
#include "tests/unit/unit.h"

static const struct rpc_method *row_of(const struct rpc_method *methods, size_t len,
                                       const char *name)
{
    const struct rpc_method *found = NULL;

    for (size_t i = 0; i < len; i++) {
        if (hf_text_equal(methods[i].name, name)) {
            assert_null(found);
            found = &methods[i];
        }
    }
    return found;
}

static void check_service(const ProtobufCServiceDescriptor *service,
                          const struct rpc_method *methods, size_t len)
{
    assert_int_equal(service->n_methods, len);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        const struct rpc_method *row = row_of(methods, len, method->name);

        assert_non_null(row);
        HF_CHECK(row != NULL); /* the analyzer does not know the line above */
        assert_true(auth_role_allows("admin", row->permission));
        bool has_name = protobuf_c_message_descriptor_get_field_by_name(method->input, "name");
        bool has_parent = protobuf_c_message_descriptor_get_field_by_name(method->input, "parent");

        assert_true(has_name != has_parent);
    }
}

static void test_methods__match_the_backup_service(void **state)
{
    (void)state;
    check_service(&pb_backup__backup_service__descriptor, api_backup_methods,
                  api_backup_methods_len);
}

static void test_methods__match_the_job_service(void **state)
{
    (void)state;
    check_service(&pb_jobs__job_service__descriptor, api_job_methods, api_job_methods_len);
}

static void test_methods__viewers_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_backup_methods_len; i++) {
        const char *name = api_backup_methods[i].name;
        bool reads = hf_has_prefix(name, "Get") || hf_has_prefix(name, "List");
        bool is_vault = hf_text_equal(name, "ListVaultObjects");

        assert_int_equal(auth_role_allows("viewer", api_backup_methods[i].permission),
                         reads && !is_vault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods__match_the_backup_service),
        cmocka_unit_test(test_methods__match_the_job_service),
        cmocka_unit_test(test_methods__viewers_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
