/* The text-keyed map. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "tests/unit/unit.h"

static bool collect(const char *key, void *value, void *arg)
{
    char *seen = arg;

    (void)value;
    (void)snprintf(seen + strlen(seen), 64 - strlen(seen), "%s ", key);
    return strcmp(key, "c") != 0;
}

static void test_map__puts_gets_removes(void **state)
{
    HF_CLEANUP(hf_map_free) struct hf_map *map = hf_map_new();
    int one = 1;
    int two = 2;
    (void)state;

    assert_null(hf_map_get(map, "a"));
    assert_null(hf_map_put(map, "a", &one));
    assert_ptr_equal(hf_map_put(map, "a", &two), &one);
    assert_ptr_equal(hf_map_get(map, "a"), &two);
    assert_int_equal(hf_map_len(map), 1);
    assert_ptr_equal(hf_map_remove(map, "a"), &two);
    assert_null(hf_map_remove(map, "a"));
    assert_int_equal(hf_map_len(map), 0);
}

static void test_map__visits_in_order_of_insertion(void **state)
{
    HF_CLEANUP(hf_map_free) struct hf_map *map = hf_map_new();
    int value = 1;
    char seen[64] = "";
    (void)state;

    hf_map_put(map, "z", &value);
    hf_map_put(map, "a", &value);
    hf_map_put(map, "b", &value);
    hf_map_put(map, "c", &value);
    hf_map_put(map, "d", &value);
    hf_map_remove(map, "a");
    hf_map_each(map, collect, seen);
    assert_string_equal(seen, "z b c ");
}

static void test_map__copies_keys_and_holds_many(void **state)
{
    HF_CLEANUP(hf_map_free) struct hf_map *map = hf_map_new();
    static int values[5000];
    char key[32];
    (void)state;

    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        assert_null(hf_map_put(map, key, &values[i]));
    }
    assert_int_equal(hf_map_len(map), 5000);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof(key), "key-%d", i);
        assert_ptr_equal(hf_map_get(map, key), &values[i]);
    }
    hf_map_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map__puts_gets_removes),
        cmocka_unit_test(test_map__visits_in_order_of_insertion),
        cmocka_unit_test(test_map__copies_keys_and_holds_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
