/* Roles and names of callers: pure. */
#include "auth/auth.h"
#include "base/check.h"
#include "tests/unit/unit.h"

struct role_case {
    const char *role;
    const char *permission;
    bool is_allowed;
};

static void test_roles__grant_what_their_rows_say(void **unused)
{
    static const struct role_case cases[] = {
        {"admin", "clusters.create", true},     {"admin", "anything.whatever", true},
        {"admin", "nonsense", false},           {"operator", "backups.create", true},
        {"operator", "clusters.get", true},     {"operator", "clusters.delete", false},
        {"operator", "clusters.create", false}, {"operator", "restores.report", true},
        {"operator", "jobs.cancel", true},      {"viewer", "backups.list", true},
        {"viewer", "jobs.watch", true},         {"viewer", "backups.create", false},
        {"viewer", "jobs.cancel", false},       {"viewer", "objects.read", false},
        {"nobody", "backups.get", false},       {"", "backups.get", false},
    };

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_int_equal(auth_role_allows(cases[i].role, cases[i].permission), cases[i].is_allowed);
    }
    assert_true(auth_role_exists("viewer"));
    assert_false(auth_role_exists("root"));
}

struct uri_case {
    const char *uri;
    const char *kind; /* NULL: refused */
    const char *name;
};

static void test_peer_parse__accepts_names_of_this_installation_only(void **unused)
{
    static const struct uri_case cases[] = {
        {"spiffe://i-1/client/alice", "client", "alice"},
        {"spiffe://i-1/service/backup", "service", "backup"},
        {"spiffe://i-2/client/alice", NULL, NULL},
        {"spiffe://i-1/root/alice", NULL, NULL},
        {"spiffe://i-1/client/", NULL, NULL},
        {"spiffe://i-1/client/a/b", NULL, NULL},
        {"spiffe://i-1/client/Alice", NULL, NULL},
        {"spiffe://i-1/client", NULL, NULL},
        {"https://i-1/client/alice", NULL, NULL},
        {"", NULL, NULL},
        {NULL, NULL, NULL},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024);

    (void)unused;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct auth_peer peer = {NULL, NULL};
        struct hf_status status = auth_peer_parse(arena, cases[i].uri, "i-1", &peer);
        assert_int_equal(status.code, cases[i].kind == NULL ? HF_UNAUTHENTICATED : HF_OK);
        if (cases[i].kind != NULL) {
            assert_string_equal(peer.kind, cases[i].kind);
            assert_string_equal(peer.name, cases[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles__grant_what_their_rows_say),
        cmocka_unit_test(test_peer_parse__accepts_names_of_this_installation_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
