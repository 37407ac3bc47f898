/* Whole restores into directories: what is refused before the first byte, what is there after the
 * last, and what a failure in between leaves. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "tests/unit/libs/restore/whole_fixture.h"

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* --- place ------------------------------------------------------------------------------------ */

static void test_run__gives_a_directory_that_is_ready(void **state)
{
    struct whole w;
    struct stat info;

    whole_make(&w, *state, NULL);
    assert_ok(whole_run(&w));
    whole_assert_restored(&w);
    assert_string_equal(w.result.backup_id, "b0001");
    assert_int_equal(w.result.files, 9);
    assert_int_equal(w.result.proven_time_us, T(400));
    assert_int_equal(stat(w.dir, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(stat(whole_path(&w, "base/1/1259"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_string_equal(
        hf_strndup(w.h.f->ctx.arena, (const char *)whole_read(&w, "backup_label").ptr, 29),
        "START WAL LOCATION: 0/100028\n");
    whole_done(&w);
}

static void test_run__takes_an_empty_directory(void **state)
{
    struct whole w;

    whole_make(&w, *state, NULL);
    assert_int_equal(mkdir(w.dir, 0755), 0);
    assert_int_equal(mkdir(whole_path(&w, "lost+found"), 0700), 0);
    assert_ok(whole_run(&w));
    whole_assert_restored(&w);
    whole_done(&w);
}

static void test_run__leaves_a_directory_whom_it_belongs_to(void **state)
{
    struct fixture *f = *state;
    const char *link = hf_printf(f->ctx.arena, "%s/link", f->dir);
    struct whole w;

    if (geteuid() != 0) {
        skip();
    }
    whole_make(&w, f, NULL);
    assert_int_equal(mkdir(w.dir, 0700), 0);
    assert_int_equal(chown(w.dir, 65534, 65534), 0);
    assert_int_equal(symlink(w.dir, link), 0);
    w.options.dir = link;
    assert_ok(whole_run(&w));
    whole_assert_restored(&w);
    assert_int_equal(w.result.uid, 65534);
    assert_string_equal(w.result.dir, w.dir);
    assert_string_equal(w.result.made[0], w.dir);
    whole_done(&w);
}

static void test_run__refuses_a_directory_that_is_not_empty(void **state)
{
    struct whole w;
    struct hf_status status;

    whole_make(&w, *state, NULL);
    assert_int_equal(mkdir(w.dir, 0700), 0);
    put(whole_path(&w, ".hidden"), "x");
    status = whole_run(&w);
    assert_reason(status, HF_FAILED_PRECONDITION, "DIRECTORY_NOT_EMPTY");
    assert_null(strstr(status.message, "must be removed")); /* nothing of ours is there */
    assert_false(hf_path_exists(whole_path(&w, RESTORE_INCOMPLETE)));
    whole_done(&w);
}

static void test_run__says_that_a_restore_was_not_finished(void **state)
{
    struct whole w;
    struct hf_status status;

    whole_make(&w, *state, NULL);
    assert_int_equal(mkdir(w.dir, 0700), 0);
    put(whole_path(&w, RESTORE_INCOMPLETE), "x");
    status = whole_run(&w);
    assert_reason(status, HF_FAILED_PRECONDITION, "DIRECTORY_NOT_EMPTY");
    assert_non_null(strstr(status.message, "not finished"));
    whole_done(&w);
}

static void test_run__refuses_the_directory_of_a_running_server(void **state)
{
    struct whole w;

    whole_make(&w, *state, NULL);
    assert_int_equal(mkdir(w.dir, 0700), 0);
    put(whole_path(&w, "postmaster.pid"), hf_printf(w.h.f->ctx.arena, "%d\n/x\n", (int)getpid()));
    assert_reason(whole_run(&w), HF_FAILED_PRECONDITION, "SERVER_RUNNING");
    assert_int_equal(truncate(whole_path(&w, "postmaster.pid"), 0), 0);
    put(whole_path(&w, "postmaster.pid"), "999999999\n"); /* dead: still not empty */
    assert_reason(whole_run(&w), HF_FAILED_PRECONDITION, "DIRECTORY_NOT_EMPTY");
    whole_done(&w);
}

static void test_run__needs_the_parent_and_an_absolute_path(void **state)
{
    struct whole w;

    whole_make(&w, *state, NULL);
    w.options.dir = hf_printf(w.h.f->ctx.arena, "%s/no/such", w.h.f->dir);
    assert_code(whole_run(&w), HF_NOT_FOUND);
    w.options.dir = "relative";
    assert_code(whole_run(&w), HF_INVALID_ARGUMENT);
    whole_done(&w);
}

static void test_run__refuses_too_little_space(void **state)
{
    struct whole w;
    struct hf_status status;

    whole_make(&w, *state, NULL);
    struct vault_point_info huge = w.h.journal.points[0];

    huge.id = "huge";
    huge.source_bytes = UINT64_C(1) << 60;
    huge.stop_time_us = T(61);
    house_append(&w.h, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP, .u.backup = huge});
    status = whole_run(&w);
    assert_reason(status, HF_FAILED_PRECONDITION, "NO_SPACE");
    assert_false(hf_path_exists(w.dir));
    whole_done(&w);
}

/* --- tablespaces ------------------------------------------------------------------------------ */

static void test_run__maps_a_tablespace(void **state)
{
    struct fixture *f = *state;
    struct whole w;
    const char *old = hf_printf(f->ctx.arena, "%s/space", f->dir);
    const char *fresh = hf_printf(f->ctx.arena, "%s/new/space", f->dir);
    const struct restore_tablespace mapping = {old, fresh};
    char target[256] = {0};

    whole_make(&w, f, old);
    assert_int_equal(mkdir(old, 0700), 0);
    put(hf_path_join(f->ctx.arena, old, "of the source"), "x");
    w.options.tablespaces_as_recorded = true;
    assert_reason(whole_run(&w), HF_FAILED_PRECONDITION, "TABLESPACE_NOT_MAPPED");
    w.options.tablespaces = &mapping;
    w.options.tablespaces_len = 1;
    assert_ok(whole_run(&w));
    assert_true(readlink(whole_path(&w, "pg_tblspc/16400"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, fresh);
    assert_int_equal(whole_read(&w, "pg_tblspc/16400/PG_15_202209061/5/16401").len, 2 * VAULT_PAGE);
    assert_non_null(strstr((const char *)whole_read(&w, "tablespace_map").ptr, fresh));
    whole_done(&w);
}

static void test_run__refuses_mappings_that_cannot_be(void **state)
{
    struct fixture *f = *state;
    struct whole w;
    const char *old = hf_printf(f->ctx.arena, "%s/space", f->dir);
    struct restore_tablespace mapping = {"/no/such/tablespace", "/x"};

    whole_make(&w, f, old);
    w.options.tablespaces = &mapping;
    w.options.tablespaces_len = 1;
    assert_code(whole_run(&w), HF_NOT_FOUND);
    mapping = (struct restore_tablespace){old, "relative"};
    assert_code(whole_run(&w), HF_INVALID_ARGUMENT);
    mapping = (struct restore_tablespace){old, w.dir}; /* the data directory itself */
    assert_code(whole_run(&w), HF_INVALID_ARGUMENT);
    assert_false(hf_path_exists(w.dir));
    whole_done(&w);
}

static void test_run__takes_one_place_for_a_tablespace(void **state)
{
    struct fixture *f = *state;
    struct whole w;
    const char *old = hf_printf(f->ctx.arena, "%s/space", f->dir);
    const struct restore_tablespace twice[] = {
        {old, hf_printf(f->ctx.arena, "%s/a", f->dir)},
        {"16400", hf_printf(f->ctx.arena, "%s/b", f->dir)},
    };
    struct hf_status status;

    whole_make(&w, f, old);
    w.options.tablespaces = twice;
    w.options.tablespaces_len = 2;
    status = whole_run(&w);
    assert_code(status, HF_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "tablespace 16400"));
    assert_false(hf_path_exists(w.dir));
    whole_done(&w);
}

/* A disk for the tablespace, and one for the rest: each needs room for its own part alone. */
static void test_run__looks_for_room_on_every_disk(void **state)
{
    struct fixture *f = *state;
    const char *disk = hf_printf(f->ctx.arena, "%s/disk", f->dir);
    const char *space = hf_printf(f->ctx.arena, "%s/space", disk);
    const struct restore_tablespace mapping = {"16400", space};
    struct whole w;

    if (geteuid() != 0) {
        skip();
    }
    whole_make(&w, f, "/srv/space");
    w.options.tablespaces = &mapping;
    w.options.tablespaces_len = 1;
    assert_int_equal(mkdir(disk, 0700), 0);
    assert_int_equal(mount("tmpfs", disk, "tmpfs", 0, "size=8k"), 0);
    struct hf_status small = whole_run(&w);
    bool is_there = hf_path_exists(w.dir) || hf_path_exists(space);

    assert_int_equal(mount("tmpfs", disk, "tmpfs", MS_REMOUNT, "size=64k"), 0);
    struct hf_status large = whole_run(&w);

    assert_int_equal(umount(disk), 0);
    assert_reason(small, HF_FAILED_PRECONDITION, "NO_SPACE");
    assert_non_null(strstr(small.message, space));
    assert_false(is_there);
    assert_ok(large);
    whole_done(&w);
}

/* --- WAL files -------------------------------------------------------------------------------- */

static void test_run__places_wal_under_its_names(void **state)
{
    struct whole w;
    struct made *wal;

    whole_make(&w, *state, NULL);
    house_history(&w.h, 2, history_line(&w.h, 1, w.commits[1]));
    w.options.target = (struct restore_target){.kind = RESTORE_LATEST, .timeline = 1};
    assert_ok(whole_run(&w));
    wal = &w.h.wal;
    struct hf_bytes first = whole_read(&w, "pg_wal/000000010000000000000001");
    struct hf_bytes second = whole_read(&w, "pg_wal/000000010000000000000002");
    size_t used = (size_t)(wal->lsn - START - SEGMENT);

    assert_int_equal(first.len, SEGMENT);
    assert_memory_equal(first.ptr, wal->image, SEGMENT);
    assert_int_equal(second.len, SEGMENT);
    assert_memory_equal(second.ptr, wal->image + SEGMENT, used);
    for (size_t i = used; i < SEGMENT; i++) {
        assert_int_equal(second.ptr[i], 0); /* nobody else's WAL behind the end */
    }
    assert_false(hf_path_exists(whole_path(&w, "pg_wal/000000010000000000000003")));
    /* PostgreSQL numbers its next timeline above every history that it sees. */
    assert_true(hf_path_exists(whole_path(&w, "pg_wal/00000002.history")));
    assert_true(hf_path_exists(whole_path(&w, "pg_wal/archive_status")));
    assert_int_equal(w.result.wal_bytes, wal->lsn - START);
    whole_done(&w);
}

/* A target needs no WAL behind the segment that it lies in. */
static void test_run__places_no_more_wal_than_the_target_needs(void **state)
{
    struct whole w;

    whole_make(&w, *state, NULL);
    w.options.target = (struct restore_target){.kind = RESTORE_IMMEDIATE};
    assert_ok(whole_run(&w));
    assert_true(hf_path_exists(whole_path(&w, "pg_wal/000000010000000000000001")));
    assert_false(hf_path_exists(whole_path(&w, "pg_wal/000000010000000000000002")));
    whole_done(&w);
}

/* Each leg under its own timeline's name; the first segment of the new one begins with its
 * parent's bytes, wherever the vault has them. */
static void test_run__places_the_parents_bytes_before_a_switch(void **state)
{
    struct whole w;
    uint64_t at_lsn;

    whole_make(&w, *state, NULL);
    at_lsn = w.commits[1];
    house_history(&w.h, 2, history_line(&w.h, 1, at_lsn));
    house_push(&w.h, 2, at_lsn, w.h.wal.lsn);
    assert_ok(whole_run(&w));
    assert_int_equal(w.result.timeline, 2);
    struct hf_bytes old = whole_read(&w, "pg_wal/000000010000000000000002");
    struct hf_bytes fresh = whole_read(&w, "pg_wal/000000020000000000000002");
    size_t before = (size_t)(at_lsn - START - SEGMENT);

    assert_memory_equal(old.ptr, w.h.wal.image + SEGMENT, before);
    assert_int_equal(old.ptr[before], 0);
    assert_memory_equal(fresh.ptr, w.h.wal.image + SEGMENT,
                        (size_t)(w.h.wal.lsn - START - SEGMENT));
    whole_done(&w);
}

static void test_path__reads_along_the_legs(void **state)
{
    struct whole w;
    struct restore_plan plan;
    uint64_t at_lsn;
    uint8_t bytes[400];
    size_t got = 0;

    whole_make(&w, *state, NULL);
    at_lsn = w.commits[1];
    house_history(&w.h, 2, history_line(&w.h, 1, at_lsn));
    house_push(&w.h, 2, at_lsn, w.h.wal.lsn);
    struct restore restore = house_restore(&w.h, &w.options);

    assert_ok(restore_plan_make(&restore, &plan));
    struct restore_path *path = restore_path_new(&restore, &plan);
    struct restore_span span = {at_lsn - 200, bytes, sizeof(bytes)};

    assert_ok(restore_path_read(&w.h.f->ctx, path, &span, &got)); /* over the switch */
    assert_int_equal(got, 200 + w.h.wal.lsn - at_lsn);
    assert_memory_equal(bytes, at(&w.h.wal, at_lsn - 200), got);
    assert_ok(restore_path_read_leg(&w.h.f->ctx, path, 0, &span, &got)); /* not over it */
    assert_int_equal(got, 200);
    span.lsn = w.h.wal.lsn;
    assert_ok(restore_path_read(&w.h.f->ctx, path, &span, &got));
    assert_int_equal(got, 0);
    restore_path_free(path);
    whole_done(&w);
}

/* --- failures --------------------------------------------------------------------------------- */

static void test_run__a_damaged_pack_leaves_the_mark(void **state)
{
    struct whole w;
    struct fixture *f = *state;
    struct objstore_page page = {0};
    struct hf_status status;

    const struct restore_tablespace mapping = {"16400", hf_printf(f->ctx.arena, "%s/s", f->dir)};

    whole_make(&w, f, "/srv/space");
    w.options.tablespaces = &mapping;
    w.options.tablespaces_len = 1;
    assert_ok(objstore_list_all(&f->ctx, f->store, FIXTURE_SOURCE "/packs/", 10, &page));
    struct hf_bytes bytes = fixture_object(f, page.entries[0].name);
    uint8_t *broken = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);

    broken[bytes.len / 2] ^= 1;
    fixture_replace(f, page.entries[0].name, (struct hf_bytes){broken, bytes.len});
    status = whole_run(&w);
    assert_code(status, HF_DATA_LOSS);
    assert_non_null(
        strstr(status.message, hf_printf(f->ctx.arena, "%s, %s is incomplete and must be removed",
                                         w.dir, mapping.new_location)));
    assert_true(hf_path_exists(whole_path(&w, RESTORE_INCOMPLETE)));
    assert_false(hf_path_exists(whole_path(&w, "global/pg_control")));
    whole_done(&w);
}

/* The disk fills up in the middle: on a real file system of 6 MiB, as root. */
static void test_run__a_full_disk_can_be_tried_again(void **state)
{
    struct fixture *f = *state;
    const char *disk = hf_printf(f->ctx.arena, "%s/disk", f->dir);
    struct whole w;
    struct hf_status status;

    if (geteuid() != 0) {
        skip();
    }
    whole_make(&w, f, NULL);
    assert_int_equal(mkdir(disk, 0700), 0);
    assert_int_equal(mount("tmpfs", disk, "tmpfs", 0, "size=6m"), 0);
    w.options.dir = w.dir = hf_printf(f->ctx.arena, "%s/data", disk);
    /* Room by the figures, but somebody else fills it meanwhile: the journal says too little. */
    struct vault_point_info lie = w.h.journal.points[0];

    lie.id = "lie";
    lie.source_bytes = 1;
    lie.stop_time_us = T(61);
    house_append(&w.h, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP, .u.backup = lie});
    int other =
        open(hf_path_join(f->ctx.arena, disk, "other"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(posix_fallocate(other, 0, 2 << 20), 0);
    close(other);
    status = whole_run(&w);
    bool has_mark = hf_path_exists(whole_path(&w, RESTORE_INCOMPLETE));
    bool has_control = hf_path_exists(whole_path(&w, "global/pg_control"));
    struct hf_status again = whole_run(&w);

    assert_ok(hf_remove_tree(f->ctx.arena, w.dir));
    assert_int_equal(unlink(hf_path_join(f->ctx.arena, disk, "other")), 0);
    struct hf_status third = whole_run(&w);

    if (hf_is_ok(third)) {
        whole_assert_restored(&w);
    }
    assert_int_equal(umount(disk), 0);
    assert_code(status, HF_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(status.message, "No space left"));
    assert_non_null(strstr(status.message, "must be removed"));
    assert_true(has_mark);
    assert_false(has_control);
    assert_reason(again, HF_FAILED_PRECONDITION, "DIRECTORY_NOT_EMPTY");
    assert_ok(third);
    whole_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_run__gives_a_directory_that_is_ready),
        fixture_test(test_run__takes_an_empty_directory),
        fixture_test(test_run__leaves_a_directory_whom_it_belongs_to),
        fixture_test(test_run__refuses_a_directory_that_is_not_empty),
        fixture_test(test_run__says_that_a_restore_was_not_finished),
        fixture_test(test_run__refuses_the_directory_of_a_running_server),
        fixture_test(test_run__needs_the_parent_and_an_absolute_path),
        fixture_test(test_run__refuses_too_little_space),
        fixture_test(test_run__maps_a_tablespace),
        fixture_test(test_run__refuses_mappings_that_cannot_be),
        fixture_test(test_run__takes_one_place_for_a_tablespace),
        fixture_test(test_run__looks_for_room_on_every_disk),
        fixture_test(test_run__places_wal_under_its_names),
        fixture_test(test_run__places_no_more_wal_than_the_target_needs),
        fixture_test(test_run__places_the_parents_bytes_before_a_switch),
        fixture_test(test_path__reads_along_the_legs),
        fixture_test(test_run__a_damaged_pack_leaves_the_mark),
        fixture_test(test_run__a_full_disk_can_be_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
