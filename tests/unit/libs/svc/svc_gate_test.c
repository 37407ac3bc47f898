/* Where the installation listens itself is reached by nobody, however its settings are written. */
#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "svc/gate.h"
#include "tests/unit/unit.h"

static struct hf_ctx ctx_begin(void)
{
    return (struct hf_ctx){.arena = hf_arena_new(16 << 20),
                           .deadline_us = hf_mono_us() + 10 * HF_US_PER_S};
}

static const char *const listeners[] = {
    "127.0.0.1:7400", NULL, "", "[::1]:7401", "*:7402", "localhost:7403", "nonsense", "/tmp/x.sock",
};
static const char *const databases[] = {
    NULL,
    "host=127.0.0.1,127.0.0.2 port=7404,7405 dbname=state",
    "host=localhost hostaddr=127.0.0.3 port=7406",
};

static struct svc_gate_options options(const char *local)
{
    return (struct svc_gate_options){
        .prefix = "sources",
        .local = local,
        .listeners = listeners,
        .listeners_len = HF_LEN(listeners),
        .databases = databases,
        .databases_len = HF_LEN(databases),
    };
}

static const char *reach(struct hf_ctx *ctx, struct egress *egress, const char *host, uint16_t port)
{
    const struct egress_want want = {host, port, true, NULL};
    struct egress_addresses found;
    struct hf_status status = egress_resolve(ctx, egress, &want, &found);

    return hf_is_ok(status) ? "" : status.info == NULL ? "?" : status.info->reason;
}

static void test_gate__knows_what_listens_here(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        const char *want;
    } cases[] = {
        {"127.0.0.1", 7400, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.1", 7399, ""},
        {"::1", 7401, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.1", 7402, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.1", 7403, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.1", 7404, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.2", 7405, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.3", 7406, "ADDRESS_OWN_LISTENER"},
        {"127.0.0.1", 7407, ""},
    };
    struct hf_ctx ctx = ctx_begin();
    const struct svc_gate_options all = options("auto");
    struct egress *egress = NULL;

    (void)state;
    assert_int_equal(svc_gate_open(&ctx, &all, &egress).code, HF_OK);
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_string_equal(reach(&ctx, egress, cases[i].host, cases[i].port), cases[i].want);
    }
    int fd = -1;
    struct hf_status status = egress_socket_open(&ctx, egress, "/tmp", "x.sock", true, &fd);
    assert_string_equal(status.info == NULL ? "" : status.info->reason, "SOCKET_OWN");
    egress_free(egress);
    hf_arena_free(ctx.arena);
}

static void test_gate__refuses_settings_that_say_nothing(void **state)
{
    static const char *const broken[] = {"host='127.0.0.1"};
    struct hf_ctx ctx = ctx_begin();
    struct svc_gate_options wrong = options("sometimes");
    struct egress *egress = NULL;

    (void)state;
    struct hf_status status = svc_gate_open(&ctx, &wrong, &egress);
    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_string_equal(status.message, "sources_local must be auto, on or off, not sometimes");
    wrong = options("on");
    wrong.databases = broken;
    wrong.databases_len = HF_LEN(broken);
    assert_int_equal(svc_gate_open(&ctx, &wrong, &egress).code, HF_INVALID_ARGUMENT);
    wrong = options("on");
    wrong.allowed = "no address";
    assert_int_equal(svc_gate_open(&ctx, &wrong, &egress).code, HF_INVALID_ARGUMENT);
    assert_null(egress);
    hf_arena_free(ctx.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate__knows_what_listens_here),
        cmocka_unit_test(test_gate__refuses_settings_that_say_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
