/* The arena: alignment, zeroing, the limit, reset; the growable array on it. */
#include <malloc.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/vec.h"
#include "tests/unit/unit.h"

static void test_arena__gives_aligned_zeroed_memory(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t size = 0; size < 300; size += 7) {
        const uint8_t *p = hf_alloc(arena, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(p[i], 0);
        }
    }
}

static void test_arena__zeroes_again_after_reset(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    memset(hf_alloc(arena, 100), 0xff, 100);
    hf_arena_reset(arena);
    assert_int_equal(hf_arena_used(arena), 0);
    const uint8_t *p = hf_alloc(arena, 100);
    assert_int_equal(p[0], 0);
    assert_int_equal(p[99], 0);
}

static void test_arena__refuses_beyond_its_limit(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    assert_null(hf_try_alloc(arena, 4097));
    assert_null(hf_try_alloc(arena, SIZE_MAX));
    assert_null(hf_try_alloc(arena, SIZE_MAX - 8));
    assert_non_null(hf_try_alloc(arena, 4080));
    assert_non_null(hf_try_alloc(arena, 16));
    assert_null(hf_try_alloc(arena, 1));
    assert_int_equal(hf_arena_used(arena), 4096);
}

static void test_arena__keeps_objects_apart(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 << 20);
    uint8_t *blocks[400];
    (void)state;

    for (size_t i = 0; i < 400; i++) {
        size_t size = i % 7 == 0 ? 40000 + i : i + 1;
        blocks[i] = hf_alloc(arena, size);
        memset(blocks[i], (int)(i % 251), size);
    }
    for (size_t i = 0; i < 400; i++) {
        size_t size = i % 7 == 0 ? 40000 + i : i + 1;
        assert_int_equal(blocks[i][0], i % 251);
        assert_int_equal(blocks[i][size - 1], i % 251);
    }
}

static void test_arena__copies_and_formats_text(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    assert_string_equal(hf_strdup(arena, "kelp"), "kelp");
    assert_string_equal(hf_strndup(arena, "kelp", 2), "ke");
    assert_string_equal(hf_printf(arena, "%s %d", "pack", 7), "pack 7");
    assert_memory_equal(hf_dup(arena, "a\0b", 3), "a\0b", 3);
}

static void test_vec__keeps_items_while_growing(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_VEC(int) numbers = {0};
    (void)state;

    for (int i = 0; i < 1000; i++) {
        int *item = HF_VEC_ADD(arena, &numbers);
        assert_int_equal(*item, 0);
        *item = i;
    }
    assert_int_equal(numbers.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(numbers.items[i], i);
    }
}

static void test_vec__zeroes_room_that_was_used_before(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_VEC(int) numbers = {0};
    (void)state;

    *HF_VEC_ADD(arena, &numbers) = 5;
    numbers.len = 0;
    assert_int_equal(*HF_VEC_ADD(arena, &numbers), 0);
}

static void test_heap__grows_and_copies(void **state)
{
    HF_CLEANUP(hf_heap_text) char *text = hf_heap_strdup("abc");
    (void)state;

    text = hf_heap_grow(text, 100);
    assert_string_equal(text, "abc");
    hf_heap_free(NULL);
    hf_heap_trim();
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* An arena that is kept for reuse must not hold on to the one big thing that it began with. */
static void test_arena__reset_gives_a_big_first_object_back(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    size_t before = heap_bytes();

    (void)state;
    assert_non_null(hf_try_alloc(arena, (size_t)4 << 20));
    hf_arena_reset(arena);
    assert_true(heap_bytes() < before + ((size_t)1 << 20));
}

/* Data never kills: beyond the limit memory is still given, and the arena says so. */
static void test_arena__beyond_its_limit_is_over_and_goes_on(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_VEC(int) numbers = {0};
    (void)state;

    assert_false(hf_arena_is_over(arena));
    assert_true(hf_is_ok(hf_arena_check(arena)));
    for (int i = 0; i < 10000; i++) {
        *HF_VEC_ADD(arena, &numbers) = i;
    }
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(numbers.items[i], i);
    }
    assert_string_equal(hf_printf(arena, "%05000d", 7) + 4990, "0000000007");
    assert_true(hf_arena_is_over(arena));
    assert_null(hf_try_alloc(arena, 1));
    struct hf_status status = hf_arena_check(arena);
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_string_equal(status.info->reason, "MEMORY_LIMIT");
    hf_arena_reset(arena);
    assert_false(hf_arena_is_over(arena));
    assert_non_null(hf_try_alloc(arena, 4096));
}

/* A refused try is an answer to its caller and leaves the arena as it was. */
static void test_arena__try_alloc_leaves_it_whole(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    assert_null(hf_try_alloc(arena, 5000));
    assert_false(hf_arena_is_over(arena));
    assert_non_null(hf_try_alloc_spare(arena, 5000));
    assert_null(hf_try_alloc_spare(arena, 4096 + HF_ARENA_SPARE));
    assert_false(hf_arena_is_over(arena));
}

/* As large as a lie: the pages are not touched. */
static void test_arena__an_enormous_object_costs_no_pages(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    uint8_t *p = hf_alloc(arena, (size_t)512 << 20);
    p[0] = 1;
    p[((size_t)512 << 20) - 1] = 1;
    assert_true(hf_arena_is_over(arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__gives_aligned_zeroed_memory),
        cmocka_unit_test(test_arena__zeroes_again_after_reset),
        cmocka_unit_test(test_arena__refuses_beyond_its_limit),
        cmocka_unit_test(test_arena__keeps_objects_apart),
        cmocka_unit_test(test_arena__copies_and_formats_text),
        cmocka_unit_test(test_vec__keeps_items_while_growing),
        cmocka_unit_test(test_vec__zeroes_room_that_was_used_before),
        cmocka_unit_test(test_heap__grows_and_copies),
        cmocka_unit_test(test_arena__reset_gives_a_big_first_object_back),
        cmocka_unit_test(test_arena__beyond_its_limit_is_over_and_goes_on),
        cmocka_unit_test(test_arena__try_alloc_leaves_it_whole),
        cmocka_unit_test(test_arena__an_enormous_object_costs_no_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
