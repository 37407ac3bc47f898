/* Details of a failure: whatever stands in them, they fit a client's headers and keep the reason.
 */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "rpc/details.h"
#include "tests/unit/unit.h"

#define CLIENT_HEADERS 8192
#define OTHER_HEADERS 300

static struct hf_status come_back(struct hf_arena *arena, struct hf_status status)
{
    struct hf_status seen = {.code = status.code};
    return rpc_details_decode(arena, seen, rpc_details_encode(arena, status));
}

static char *repeat(struct hf_arena *arena, const char *piece, size_t times)
{
    size_t len = strlen(piece);
    char *text = hf_alloc(arena, len * times + 1);
    for (size_t i = 0; i < times; i++) {
        memcpy(text + i * len, piece, len);
    }
    return text;
}

static size_t header_len(const char *text)
{
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        len += *at >= ' ' && *at <= '~' && *at != '%' ? 1 : 3;
    }
    return len;
}

/* Long texts of every kind of byte, 32 pairs of them. */
static void test_details__fit_headers_and_keep_the_reason(void **state)
{
    static const char *const pieces[] = {
        "x", "%", "\xe2\x82\xac", "\xff", "\n", "\xe2\x80\xae", "a\x1b[2J"};
    (void)state;

    for (size_t i = 0; i < HF_LEN(pieces); i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4 << 20);
        const char *text = repeat(arena, pieces[i], 4000);
        struct hf_pair pairs[32];
        for (size_t k = 0; k < HF_LEN(pairs); k++) {
            pairs[k] = (struct hf_pair){text, text};
        }
        const struct hf_error_info info = {"SOME_REASON", pairs, HF_LEN(pairs), 1500};
        struct hf_status status = {HF_INTERNAL, text, &info};
        struct hf_bytes bytes = rpc_details_encode(arena, status);
        size_t all = bytes.len * 4 / 3 + header_len(rpc_details_text(arena, status));
        assert_true(all + OTHER_HEADERS < CLIENT_HEADERS);
        struct hf_status seen = come_back(arena, status);
        assert_non_null(seen.info);
        assert_string_equal(seen.info->reason, "SOME_REASON");
        assert_int_equal(seen.info->retry_after_ms, 1500);
    }
}

static void test_details__few_values_come_whole(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const struct hf_pair pairs[] = {{"cluster", "orders"}, {"path", repeat(arena, "p", 250)}};
    const struct hf_error_info info = {"R", pairs, 2, 0};
    struct hf_status seen = come_back(arena, (struct hf_status){HF_NOT_FOUND, "no", &info});
    (void)state;

    assert_int_equal(seen.info->metadata_len, 2);
    assert_string_equal(seen.info->metadata[0].value, "orders");
    assert_string_equal(seen.info->metadata[1].value, pairs[1].value);
}

static void test_details__texts_are_fit_to_be_shown(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const struct hf_pair pairs[] = {{"key\xff", "caf\xc3"}, {"null", NULL}};
    const struct hf_error_info info = {"R", pairs, 2, 0};
    const struct hf_status status = {HF_NOT_FOUND, "no \x1b[2J\xe2\x80\xae", &info};
    struct hf_status seen = come_back(arena, status);
    (void)state;

    assert_string_equal(rpc_details_text(arena, status), "no \\x1b[2J\\u{202E}");
    assert_string_equal(seen.info->metadata[0].key, "key\xef\xbf\xbd");
    assert_string_equal(seen.info->metadata[0].value, "caf\xef\xbf\xbd");
    assert_string_equal(seen.info->metadata[1].value, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_details__fit_headers_and_keep_the_reason),
        cmocka_unit_test(test_details__few_values_come_whole),
        cmocka_unit_test(test_details__texts_are_fit_to_be_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
