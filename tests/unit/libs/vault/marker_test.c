/* The marker of a vault. */
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/marker.h"

/* The fixture has made a key slot already: a fresh store for each test. */
static struct objstore *fresh_store(struct fixture *f)
{
    struct objstore *store = NULL;

    assert_ok(
        objstore_local_open(&f->ctx, hf_printf(f->ctx.arena, "%s/fresh", f->dir), true, &store));
    return store;
}

static void test_marker__is_made_once_and_checked(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(objstore_free) struct objstore *store = fresh_store(f);
    struct vault_marker made;
    struct vault_marker read;

    assert_code(vault_check(&f->ctx, store, &read), HF_NOT_FOUND);
    assert_ok(vault_create(&f->ctx, store));
    assert_ok(vault_check(&f->ctx, store, &made));
    assert_ok(vault_create(&f->ctx, store));
    assert_ok(vault_check(&f->ctx, store, &read));
    assert_string_equal(made.id, read.id);
    assert_int_equal(made.created_us, read.created_us);
    assert_int_equal(read.format, 1);
}

static void test_marker__is_not_put_among_foreign_objects(void **state)
{
    struct fixture *f = *state;

    assert_code(vault_create(&f->ctx, f->store), HF_FAILED_PRECONDITION);
}

static void test_marker__newer_format_is_named(void **state)
{
    struct fixture *f = *state;
    const struct vault_marker newer = {.format = 2, .id = "x"};
    const char *text = vault_marker_encode(f->ctx.arena, &newer);
    struct vault_marker read;

    assert_ok(objstore_put(&f->ctx, f->store, VAULT_MARKER_NAME,
                           (struct hf_bytes){(const uint8_t *)text, strlen(text)}));
    assert_reason(vault_check(&f->ctx, f->store, &read), HF_FAILED_PRECONDITION, "NEWER_FORMAT");
    assert_reason(vault_create(&f->ctx, f->store), HF_FAILED_PRECONDITION, "NEWER_FORMAT");
}

static void test_marker__finds_a_flipped_bit_in_every_byte(void **state)
{
    struct fixture *f = *state;
    struct vault_marker marker = {1, "018bcfe5-6800-7abc-8def-0123456789ab", 1};
    const char *text = vault_marker_encode(f->ctx.arena, &marker);
    const struct hf_bytes bytes = {(const uint8_t *)text, strlen(text)};
    char *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);

    assert_ok(vault_marker_decode(f->ctx.arena, hf_str_of(text), &marker));
    for (size_t i = 0; i < bytes.len; i++) {
        copy[i] = (char)(bytes.ptr[i] ^ (1u << (i % 8)));
        assert_code(vault_marker_decode(f->ctx.arena, (struct hf_str){copy, bytes.len}, &marker),
                    HF_DATA_LOSS);
        copy[i] = (char)bytes.ptr[i];
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_marker__is_made_once_and_checked),
        fixture_test(test_marker__is_not_put_among_foreign_objects),
        fixture_test(test_marker__newer_format_is_named),
        fixture_test(test_marker__finds_a_flipped_bit_in_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
