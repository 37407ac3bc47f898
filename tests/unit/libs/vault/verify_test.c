/* A flipped byte anywhere in what a point refers to is found, and named. */
#include "tests/unit/libs/vault/source_compare.h"

static void two_backups(struct source *s, struct fixture *f)
{
    source_init(s, f);
    source_add(s, "a", 3 << 20);
    source_add(s, "b", 70000);
    source_add(s, "c", 0);
    source_backup(s);
    source_fill(s, s->files[0].bytes, 20000);
    source_backup(s);
}

static void test_verify__finds_nothing_in_a_whole_point(void **state)
{
    struct source s;
    struct vault_verify_report report;

    two_backups(&s, *state);
    source_verify(&s, &report);
    assert_int_equal(report.findings_total, 0);
    assert_int_equal(report.files, 3);
    assert_int_equal(report.pages, 3 * 128 + 9);
    assert_true(report.objects >= 5);
    source_free(&s);
}

static bool is_named(const struct vault_verify_report *report, const char *object)
{
    for (size_t i = 0; i < report->findings_len; i++) {
        if (strcmp(report->findings[i].object, object) == 0) {
            return true;
        }
    }
    return false;
}

/* All objects of the source, the first backup's root aside, which the second does not need. */
static struct objstore_page needed_objects(struct source *s)
{
    static const char *const kinds[] = {"packs", "maps", "tables"};
    struct objstore_page all = {0};

    all.entries = hf_alloc(s->f->ctx.arena, 1000 * sizeof(all.entries[0]));
    for (size_t i = 0; i < HF_LEN(kinds); i++) {
        struct objstore_page page = {0};
        const char *prefix = hf_printf(s->f->ctx.arena, "%s/%s/", FIXTURE_SOURCE, kinds[i]);
        assert_ok(objstore_list_all(&s->f->ctx, s->f->store, prefix, 1000, &page));
        for (size_t k = 0; k < page.len; k++) {
            all.entries[all.len++] = page.entries[k];
        }
    }
    all.entries[all.len++] = (struct objstore_entry){.name = s->result.info.root};
    return all;
}

static void assert_flip_is_found(struct source *s, const char *name, struct hf_bytes whole,
                                 size_t at)
{
    struct vault_verify_report report;
    uint8_t *copy = hf_heap_alloc(whole.len);

    memcpy(copy, whole.ptr, whole.len);
    copy[at] ^= 0x10;
    fixture_replace(s->f, name, (struct hf_bytes){copy, whole.len});
    source_verify(s, &report);
    if (!is_named(&report, name)) {
        fail_msg("byte %zu of %s: %llu findings, none names it", at, name,
                 (unsigned long long)report.findings_total);
    }
    hf_heap_free(copy);
}

static void test_verify__finds_a_flipped_byte_in_every_object(void **state)
{
    struct source s;

    two_backups(&s, *state);
    struct objstore_page objects = needed_objects(&s);
    assert_true(objects.len >= 7);
    for (size_t i = 0; i < objects.len; i++) {
        const char *name = objects.entries[i].name;
        struct hf_bytes whole = fixture_object(s.f, name);
        const size_t places[] = {0,
                                 9,
                                 40,
                                 100,
                                 170,
                                 191,
                                 195,
                                 230,
                                 250 + i * 7,
                                 whole.len / 2,
                                 whole.len - 40,
                                 whole.len - 23,
                                 whole.len - 1};
        for (size_t k = 0; k < HF_LEN(places); k++) {
            if (places[k] < whole.len) {
                assert_flip_is_found(&s, name, whole, places[k]);
            }
        }
        fixture_replace(s.f, name, whole);
    }
    source_assert_whole(&s);
    source_free(&s);
}

static void test_verify__goes_on_after_damage(void **state)
{
    struct source s;
    struct vault_verify_report report;

    two_backups(&s, *state);
    struct objstore_page objects = needed_objects(&s);
    for (size_t i = 0; i + 1 < objects.len; i++) { /* all but the root */
        assert_ok(objstore_remove(&s.f->ctx, s.f->store, objects.entries[i].name));
    }
    source_verify(&s, &report);
    for (size_t i = 0; i + 1 < objects.len; i++) {
        /* packs are known from their table, which is gone */
        if (strstr(objects.entries[i].name, "/packs/") == NULL) {
            assert_true(is_named(&report, objects.entries[i].name));
        }
    }
    source_free(&s);
}

static void test_verify__finds_swapped_packs(void **state)
{
    struct source s;
    struct vault_verify_report report;
    struct objstore_page page = {0};

    two_backups(&s, *state);
    assert_ok(objstore_list_all(&s.f->ctx, s.f->store, FIXTURE_SOURCE "/packs/", 100, &page));
    assert_int_equal(page.len, 2);
    struct hf_bytes a = fixture_object(s.f, page.entries[0].name);
    struct hf_bytes b = fixture_object(s.f, page.entries[1].name);
    fixture_replace(s.f, page.entries[0].name, b);
    fixture_replace(s.f, page.entries[1].name, a);
    source_verify(&s, &report);
    assert_true(is_named(&report, page.entries[0].name));
    assert_true(is_named(&report, page.entries[1].name));
    char *dir = hf_printf(s.f->ctx.arena, "%s/out", s.f->dir);
    assert_code(source_extract(&s, &s.root, dir), HF_DATA_LOSS);
    source_free(&s);
}

static void test_verify__names_the_points_of_a_pack(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct vault_place place = source_place(f);
    struct vault_point_info points[3];
    struct objstore_page page = {0};
    size_t *indexes = NULL;
    size_t len = 0;

    source_init(&s, f);
    source_add(&s, "a", 1 << 20);
    for (unsigned i = 0; i < 3; i++) {
        source_fill(&s, s.files[0].bytes, 10000);
        source_backup(&s);
        points[i] = s.result.info;
    }
    assert_ok(objstore_list_all(&f->ctx, f->store, FIXTURE_SOURCE "/packs/", 100, &page));
    assert_int_equal(page.len, 3);
    assert_ok(vault_points_using(&f->ctx, &place, points, 3, page.entries[0].name, &indexes, &len));
    assert_int_equal(len, 3);
    assert_ok(vault_points_using(&f->ctx, &place, points, 3, page.entries[2].name, &indexes, &len));
    assert_int_equal(len, 1);
    assert_int_equal(indexes[0], 2);
    assert_ok(vault_points_using(&f->ctx, &place, points, 3, points[1].root, &indexes, &len));
    assert_int_equal(len, 1);
    assert_int_equal(indexes[0], 1);
    source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_verify__finds_nothing_in_a_whole_point),
        fixture_test(test_verify__finds_a_flipped_byte_in_every_object),
        fixture_test(test_verify__goes_on_after_damage),
        fixture_test(test_verify__finds_swapped_packs),
        fixture_test(test_verify__names_the_points_of_a_pack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
