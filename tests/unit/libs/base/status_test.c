/* Failures: codes from errno, wrapping, info, and a full arena. */
#include <errno.h>
#include <string.h>

#include "base/status.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static void test_status__has_formatted_message(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct hf_status status = hf_fail(arena, HF_ABORTED, "lease of %s is held", "orders");
    (void)state;

    assert_int_equal(status.code, HF_ABORTED);
    assert_string_equal(status.message, "lease of orders is held");
    assert_null(status.info);
    assert_true(hf_is_ok(hf_success()));
}

static void test_status__wrap_prefixes_and_keeps_info(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    static const char *const metadata[] = {"cluster", "orders", "near", NULL, NULL};
    struct hf_status status =
        hf_fail_info(arena, HF_NOT_FOUND, "CLUSTER_NOT_FOUND", metadata, "no %s", "orders");
    (void)state;

    status = hf_wrap(arena, status, "opening pack %d", 7);
    assert_int_equal(status.code, HF_NOT_FOUND);
    assert_string_equal(status.message, "opening pack 7: no orders");
    assert_string_equal(status.info->reason, "CLUSTER_NOT_FOUND");
    assert_int_equal(status.info->metadata_len, 1 + 1);
    assert_string_equal(status.info->metadata[0].value, "orders");
    assert_string_equal(status.info->metadata[1].value, "");
    assert_true(hf_is_ok(hf_wrap(arena, hf_success(), "opening")));
}

static void test_status__maps_errno(void **state)
{
    static const struct {
        int error;
        enum hf_code code;
    } rows[] = {
        {ENOENT, HF_NOT_FOUND},         {EEXIST, HF_ALREADY_EXISTS},
        {EACCES, HF_PERMISSION_DENIED}, {ENOSPC, HF_RESOURCE_EXHAUSTED},
        {ECONNREFUSED, HF_UNAVAILABLE}, {EIO, HF_INTERNAL},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hf_fail_errno(arena, rows[i].error, "x").code, rows[i].code);
    }
    assert_string_equal(hf_fail_errno(arena, ENOENT, "opening %s", "/a").message,
                        "opening /a: No such file or directory");
    assert_string_equal(hf_fail_errno(arena, 99999, "opening").message, "opening: error 99999");
}

static void test_status__survives_a_full_arena(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16);
    struct hf_status status = hf_fail(arena, HF_RESOURCE_EXHAUSTED, "%s", "a text of more than 16");
    (void)state;

    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_non_null(status.message);
    assert_int_equal(hf_wrap(arena, status, "more").code, HF_RESOURCE_EXHAUSTED);
}

static void test_status__copy_outlives_its_arena(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *keep = hf_arena_new(4096);
    struct hf_arena *gone = hf_arena_new(4096);
    static const char *const metadata[] = {"cluster", "orders", NULL};
    (void)state;

    struct hf_status status = hf_status_copy(
        keep, hf_fail_info(gone, HF_NOT_FOUND, "GONE", metadata, "no cluster %d", 3));
    hf_arena_free(gone);
    assert_string_equal(status.message, "no cluster 3");
    assert_string_equal(status.info->metadata[0].key, "cluster");
}

static void test_status__names_codes(void **state)
{
    (void)state;
    assert_string_equal(hf_code_name(HF_OK), "OK");
    assert_string_equal(hf_code_name(HF_UNAUTHENTICATED), "UNAUTHENTICATED");
}

/* The commonest reason to fail is the limit: the reason is told all the same. */
static void test_status__has_room_behind_the_limit(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64);
    static const char *const metadata[] = {"name", "orders", NULL};
    (void)state;

    (void)hf_alloc(arena, 1000);
    struct hf_status status =
        hf_fail_info(arena, HF_NOT_FOUND, "NO_CLUSTER", metadata, "no orders");
    assert_string_equal(status.message, "no orders");
    assert_string_equal(status.info->reason, "NO_CLUSTER");
    assert_string_equal(status.info->metadata[0].value, "orders");
}

/* A long text is cut at a character, also when wraps pile up. */
static void test_status__bounds_its_texts(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    char euros[4501];
    const char *metadata[2 * HF_METADATA_MAX + 3] = {0};
    (void)state;

    for (size_t i = 0; i < 4500; i++) {
        euros[i] = "\xe2\x82\xac"[i % 3];
    }
    euros[4500] = '\0';
    for (size_t i = 0; i < 2 * HF_METADATA_MAX + 2; i++) {
        metadata[i] = euros;
    }
    struct hf_status status = hf_fail_info(arena, HF_ABORTED, "LONG", metadata, "%s", euros);
    for (int i = 0; i < 3; i++) {
        assert_in_range(strlen(status.message), HF_MESSAGE_MAX - 4, HF_MESSAGE_MAX);
        assert_true(hf_is_utf8(status.message, strlen(status.message)));
        assert_true(hf_has_suffix(status.message, "\xe2\x80\xa6"));
        status = hf_wrap(arena, status, "layer %d%.*s", i, i, "xx");
    }
    assert_true(hf_has_prefix(status.message, "layer 2"));
    assert_int_equal(status.info->metadata_len, HF_METADATA_MAX);
    const char *value = status.info->metadata[HF_METADATA_MAX - 1].value;
    assert_true(strlen(value) <= HF_MESSAGE_MAX && hf_is_utf8(value, strlen(value)));
}

/* What a peer, a file's name or a database says cannot do anything to the reader's screen. */
static void test_status__shows_foreign_bytes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const char *foreign = "a\nb\x1b[2J\xff\xc3\xe2\x80\xae";
    const char *shown = "a\\x0ab\\x1b[2J\xef\xbf\xbd\xef\xbf\xbd\\u{202E}";
    const char *const metadata[] = {"name", foreign, NULL};
    (void)state;

    struct hf_status status = hf_fail_info(arena, HF_ABORTED, "FOREIGN", metadata, "%s", foreign);
    assert_string_equal(status.message, shown);
    assert_string_equal(status.info->metadata[0].value, shown);
    assert_string_equal(hf_fail(arena, HF_ABORTED, "%s", foreign).message, shown);
    status = hf_wrap(arena, hf_fail_errno(arena, EILSEQ, "%s", foreign), "%s", foreign);
    assert_true(hf_has_prefix(status.message, hf_printf(arena, "%s: %s: ", shown, shown)));
    /* Bytes that grow when they are shown are cut all the same. */
    char bytes[HF_MESSAGE_MAX]; /* each becomes three */
    memset(bytes, 0xff, sizeof(bytes) - 1);
    bytes[sizeof(bytes) - 1] = '\0';
    status = hf_fail_errno(arena, EILSEQ, "%s", bytes);
    assert_true(strlen(status.message) <= HF_MESSAGE_MAX);
    assert_true(hf_is_utf8(status.message, strlen(status.message)));
    assert_true(hf_has_suffix(status.message, "\xe2\x80\xa6"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__has_formatted_message),
        cmocka_unit_test(test_status__wrap_prefixes_and_keeps_info),
        cmocka_unit_test(test_status__shows_foreign_bytes),
        cmocka_unit_test(test_status__maps_errno),
        cmocka_unit_test(test_status__survives_a_full_arena),
        cmocka_unit_test(test_status__copy_outlives_its_arena),
        cmocka_unit_test(test_status__names_codes),
        cmocka_unit_test(test_status__has_room_behind_the_limit),
        cmocka_unit_test(test_status__bounds_its_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
