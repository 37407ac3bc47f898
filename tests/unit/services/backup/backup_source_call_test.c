/* Places for calls that talk to sources: slow sources take some threads, never all. */
#include "backup/api/source_call.h"
#include "base/clock.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static struct hf_ctx ctx_begin(void)
{
    return (struct hf_ctx){.arena = hf_arena_new(1 << 20)};
}

static const char *begin(struct hf_ctx *ctx, struct source_calls *calls, const char *tenant,
                         struct source_call *call)
{
    struct hf_status status = source_call_begin(ctx, calls, tenant, call);

    if (hf_is_ok(status)) {
        return "";
    }
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_true(status.info->retry_after_ms > 0);
    return status.info->reason;
}

static void test_source_call__one_tenant_has_two_and_the_last_is_for_who_has_none(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    struct source_calls *calls = source_calls_new();
    struct source_call held[5] = {{NULL, 0}};

    (void)state;
    assert_string_equal(begin(&ctx, calls, "a", &held[0]), "");
    assert_string_equal(begin(&ctx, calls, "a", &held[1]), "");
    assert_string_equal(begin(&ctx, calls, "a", &held[2]), "SOURCES_BUSY");
    assert_string_equal(begin(&ctx, calls, "b", &held[2]), "");
    assert_string_equal(begin(&ctx, calls, "b", &held[3]), "SOURCES_BUSY"); /* the last one */
    assert_string_equal(begin(&ctx, calls, "c", &held[3]), "");
    assert_string_equal(begin(&ctx, calls, "d", &held[4]), "SOURCES_BUSY");
    source_call_end(&held[4]); /* none */
    source_call_end(&held[0]);
    source_call_end(&held[0]);                                              /* once */
    assert_string_equal(begin(&ctx, calls, "a", &held[0]), "SOURCES_BUSY"); /* it has one still */
    assert_string_equal(begin(&ctx, calls, "d", &held[4]), "");
    source_call_end(&held[1]);
    source_call_end(&held[2]);
    assert_string_equal(begin(&ctx, calls, "c", &held[0]), "");
    source_calls_free(calls);
    source_calls_free(NULL);
    hf_arena_free(ctx.arena);
}

static void test_source_call__ends_soon_whatever_the_caller_allows(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    int64_t latest_us = hf_mono_us() + (SOURCE_CALL_S + 5) * HF_US_PER_S;
    const struct hf_status late = {.code = HF_DEADLINE_EXCEEDED, .message = "late"};

    (void)state;
    assert_true(source_call_ctx(&ctx).deadline_us > 0);
    assert_true(source_call_ctx(&ctx).deadline_us <= latest_us);
    ctx.deadline_us = latest_us + 3600 * HF_US_PER_S;
    assert_true(source_call_ctx(&ctx).deadline_us <= latest_us);
    assert_string_equal(source_call_status(&ctx, late).info->reason, "SOURCE_TOO_SLOW");
    ctx.deadline_us = 1; /* the caller's own is over */
    assert_int_equal(source_call_ctx(&ctx).deadline_us, 1);
    assert_int_equal(source_call_status(&ctx, late).code, HF_DEADLINE_EXCEEDED);
    hf_arena_free(ctx.arena);
}

static void test_source_call__what_follows_a_commit_does_not_end_with_the_caller(void **state)
{
    struct hf_cancel cancel;
    struct hf_ctx ctx = ctx_begin();

    (void)state;
    atomic_init(&cancel.is_set, true);
    ctx.cancel = &cancel;
    ctx.deadline_us = 1;
    assert_int_not_equal(hf_ctx_check(&ctx).code, HF_OK);

    struct hf_ctx own = source_call_after(&ctx);

    assert_int_equal(hf_ctx_check(&own).code, HF_OK);
    assert_true(own.deadline_us > hf_mono_us());
    ctx.cancel = NULL;
    ctx.stop = &cancel; /* but with the process */
    own = source_call_after(&ctx);
    assert_int_equal(hf_ctx_check(&own).code, HF_CANCELLED);
    hf_arena_free(ctx.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_call__one_tenant_has_two_and_the_last_is_for_who_has_none),
        cmocka_unit_test(test_source_call__ends_soon_whatever_the_caller_allows),
        cmocka_unit_test(test_source_call__what_follows_a_commit_does_not_end_with_the_caller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
