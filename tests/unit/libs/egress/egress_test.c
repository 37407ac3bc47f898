/* Names and sockets through the gate: odd spellings, names that change, resolvers that hang. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "egress/egress.h"
#include "tests/unit/unit.h"

static struct hf_ctx ctx_begin(void)
{
    return (struct hf_ctx){.arena = hf_arena_new(16 << 20),
                           .deadline_us = hf_mono_us() + 10 * HF_US_PER_S};
}

static struct egress *gate(struct hf_ctx *ctx, struct egress_options options)
{
    struct egress *egress = NULL;

    options.prefix = "sources";
    assert_int_equal(egress_new(ctx, &options, &egress).code, HF_OK);
    return egress;
}

static const char *reason_of(struct hf_status status)
{
    return hf_is_ok(status) ? "" : status.info == NULL ? "?" : status.info->reason;
}

static const char *resolve(struct hf_ctx *ctx, struct egress *egress, const char *host,
                           bool is_operator)
{
    const struct egress_want want = {host, 5432, is_operator, NULL};
    struct egress_addresses found;

    return reason_of(egress_resolve(ctx, egress, &want, &found));
}

static void test_resolve__odd_spellings_are_judged_as_what_they_are(void **state)
{
    static const struct {
        const char *host;
        const char *want;
    } cases[] = {
        {"127.0.0.1", "LOCAL_NEEDS_OPERATOR"},
        {"127.1", "LOCAL_NEEDS_OPERATOR"},
        {"0x7f.1", "LOCAL_NEEDS_OPERATOR"},
        {"0x7f000001", "LOCAL_NEEDS_OPERATOR"},
        {"2130706433", "LOCAL_NEEDS_OPERATOR"},
        {"017700000001", "LOCAL_NEEDS_OPERATOR"},
        {"0177.0.0.1", "LOCAL_NEEDS_OPERATOR"},
        {"::1", "LOCAL_NEEDS_OPERATOR"},
        {"::ffff:127.0.0.1", "LOCAL_NEEDS_OPERATOR"},
        {"::ffff:7f00:1", "LOCAL_NEEDS_OPERATOR"},
        {"0:0:0:0:0:0:0:1", "LOCAL_NEEDS_OPERATOR"},
        {"localhost", "LOCAL_NEEDS_OPERATOR"},
        {"LOCALHOST", "LOCAL_NEEDS_OPERATOR"},
        {"0", "ADDRESS_UNSPECIFIED"},
        {"0.0.0.0", "ADDRESS_UNSPECIFIED"},
        {"0x0", "ADDRESS_UNSPECIFIED"},
        {"::", "ADDRESS_UNSPECIFIED"},
        {"169.254.169.254", "ADDRESS_METADATA"},
        {"2852039166", "ADDRESS_METADATA"},
        {"0xa9fea9fe", "ADDRESS_METADATA"},
        {"fe80::1%lo", "ADDRESS_LINK_LOCAL"},
        {"10.0.0.1", ""},
        {"167772161", ""},
        {"[::1]", "HOST_INVALID"},
        {"a b", "HOST_INVALID"},
        {"", "HOST_INVALID"},
        {"/run", "HOST_INVALID"},
        {"@abstract", "HOST_INVALID"},
        {"host\n", "HOST_INVALID"},
        {"caf\xc3\xa9", "HOST_INVALID"},
    };
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free) struct egress *egress = gate(&ctx, (struct egress_options){0});
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        const char *found = resolve(&ctx, egress, cases[i].host, false);

        if (strcmp(found, cases[i].want) != 0) {
            fail_msg("%s: %s instead of %s", cases[i].host, found, cases[i].want);
        }
    }
    assert_string_equal(resolve(&ctx, egress, "localhost", true), "");
    hf_arena_free(ctx.arena);
}

/* A resolver whose answers change from call to call. */
struct changing {
    const char *const *answers; /* comma lists */
    size_t next;
};

static bool lookup_changing(void *arg, const char *host, struct egress_address *ret_addresses,
                            size_t *ret_len)
{
    struct changing *changing = arg;
    const char *p = changing->answers[changing->next++];
    size_t len = 0;

    (void)host;
    while (*p != '\0') {
        struct egress_range range;
        char one[64] = "";
        size_t span = strcspn(p, ",");

        memcpy(one, p, span);
        assert_true(egress_range_parse(one, &range));
        memcpy(ret_addresses[len++].bytes, range.bytes, sizeof(range.bytes));
        p += span + (p[span] == ',');
    }
    *ret_len = len;
    return len > 0;
}

static void test_resolve__every_address_is_judged_and_again_each_time(void **state)
{
    static const char *const answers[] = {"93.184.216.34",
                                          "93.184.216.34,10.0.0.1",
                                          "93.184.216.34,127.0.0.1",
                                          "::1,93.184.216.34",
                                          "169.254.169.254",
                                          "93.184.216.34",
                                          ""};
    static const char *const wants[] = {"",
                                        "",
                                        "LOCAL_NEEDS_OPERATOR",
                                        "LOCAL_NEEDS_OPERATOR",
                                        "ADDRESS_METADATA",
                                        "",
                                        "HOST_UNREACHABLE"};
    struct changing changing = {.answers = answers};
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress =
        gate(&ctx, (struct egress_options){.lookup = lookup_changing, .lookup_arg = &changing});
    (void)state;

    for (size_t i = 0; i < HF_LEN(wants); i++) {
        assert_string_equal(resolve(&ctx, egress, "rebind.example", false), wants[i]);
    }
    hf_arena_free(ctx.arena);
}

static bool lookup_many(void *arg, const char *host, struct egress_address *ret_addresses,
                        size_t *ret_len)
{
    (void)host;
    *ret_len = *(const size_t *)arg;
    for (size_t i = 0; i < *ret_len; i++) {
        ret_addresses[i] = (struct egress_address){.bytes = {0x20, 0x01, 0x0d, 0xb8, (uint8_t)i}};
    }
    return true;
}

static void test_resolve__answers_are_bounded(void **state)
{
    size_t len = EGRESS_ADDRESSES_MAX;
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress =
        gate(&ctx, (struct egress_options){.lookup = lookup_many, .lookup_arg = &len});
    (void)state;

    assert_string_equal(resolve(&ctx, egress, "many.example", false), "");
    len++;
    assert_string_equal(resolve(&ctx, egress, "many.example", false), "TOO_MANY_ADDRESSES");
    hf_arena_free(ctx.arena);
}

static bool lookup_slow(void *arg, const char *host, struct egress_address *ret_addresses,
                        size_t *ret_len)
{
    struct hf_ctx quiet = {0};

    (void)arg;
    (void)host;
    (void)ret_addresses;
    *ret_len = 0;
    return hf_is_ok(hf_ctx_sleep(&quiet, 1500)) && false;
}

static void test_resolve__a_resolver_that_hangs_holds_nobody(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.lookup = lookup_slow});
    int64_t start_us = hf_mono_us();
    (void)state;

    for (int i = 0; i < 3; i++) {
        const struct egress_want want = {"slow.example", 5432, true, NULL};
        struct egress_addresses found;
        struct hf_ctx hurry = ctx;

        hurry.deadline_us = hf_mono_us() + 100000;
        assert_int_equal(egress_resolve(&hurry, egress, &want, &found).code, HF_DEADLINE_EXCEEDED);
    }
    assert_true(hf_mono_us() - start_us < HF_US_PER_S);
    assert_string_equal(resolve(&ctx, egress, "10.0.0.1", false), ""); /* needs no resolver */
    hf_arena_free(ctx.arena);
}

static bool lookup_slow_or_known(void *arg, const char *host, struct egress_address *ret_addresses,
                                 size_t *ret_len)
{
    atomic_size_t *asked = arg;

    if (asked != NULL) {
        atomic_fetch_add(asked, 1);
    }
    if (hf_has_prefix(host, "slow")) {
        return lookup_slow(arg, host, ret_addresses, ret_len);
    }
    ret_addresses[0] = (struct egress_address){.bytes = {0x20, 0x01, 0x0d, 0xb8}};
    *ret_len = 1;
    return true;
}

enum { HURRY_US = 5000 };

static void expect_quick(struct hf_ctx *ctx, struct egress *egress, const char *owner,
                         const char *host)
{
    const struct egress_want want = {host, 5432, false, owner};
    struct egress_addresses found;
    int64_t start_us = hf_mono_us();

    assert_int_equal(egress_resolve(ctx, egress, &want, &found).code, HF_OK);
    assert_true(hf_mono_us() - start_us < HF_US_PER_S / 2);
}

/* Ask for slow0.example … in the name of owner, and give up at once. */
static void ask_slow(struct hf_ctx *ctx, struct egress *egress, const char *owner, int names)
{
    for (int i = 0; i < names; i++) {
        struct hf_ctx hurry = *ctx;
        const struct egress_want want = {hf_printf(ctx->arena, "slow%d.example", i), 5432, false,
                                         owner};
        struct egress_addresses found;

        hurry.deadline_us = hf_mono_us() + HURRY_US;
        assert_int_equal(egress_resolve(&hurry, egress, &want, &found).code, HF_DEADLINE_EXCEEDED);
    }
}

static void test_resolve__each_name_is_asked_once_and_gives_its_turn_back(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    atomic_size_t asked = 0;
    HF_CLEANUP(egress_free)
    struct egress *egress =
        gate(&ctx, (struct egress_options){.lookup = lookup_slow_or_known, .lookup_arg = &asked});
    (void)state;

    for (int i = 0; i < 8; i++) {
        ask_slow(&ctx, egress, "mallory", 1);
    }
    assert_int_equal(atomic_load(&asked), 1);
    for (int i = 0; i < 8; i++) {
        expect_quick(&ctx, egress, "mallory", hf_printf(ctx.arena, "fast%d.example", i));
        expect_quick(&ctx, egress, "mallory", "fast.example");
    }
    assert_int_equal(atomic_load(&asked), 17);
    hf_arena_free(ctx.arena);
}

/* A tenant's good clusters stream on beside however many whose names nobody answers for, from the
 * start if they were known, and for ever once the others are. */
static void test_resolve__silent_names_hold_up_no_good_one_of_their_owner(void **state)
{
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.lookup = lookup_slow_or_known});
    struct hf_ctx quiet = {0};
    (void)state;

    expect_quick(&ctx, egress, "mallory", "fast.example");
    ask_slow(&ctx, egress, "mallory", 4);
    expect_quick(&ctx, egress, "mallory", "fast.example");
    assert_int_equal(hf_ctx_sleep(&quiet, 3300).code, HF_OK); /* now all four are known */
    ask_slow(&ctx, egress, "mallory", 4);
    expect_quick(&ctx, egress, "mallory", "fast.example");
    expect_quick(&ctx, egress, "mallory", "new.example");
    hf_arena_free(ctx.arena);
}

static void test_resolve__silent_names_of_many_owners_leave_threads(void **state)
{
    static const char *const owners[] = {"a", "b", "c", "d", "e", "f", "g"};
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.lookup = lookup_slow_or_known});
    (void)state;

    expect_quick(&ctx, egress, "alice", "fast.example");
    for (size_t i = 0; i < 4; i++) {
        ask_slow(&ctx, egress, owners[i], 4);
    }
    expect_quick(&ctx, egress, "alice", "new.example");
    for (size_t i = 4; i < HF_LEN(owners); i++) {
        ask_slow(&ctx, egress, owners[i], 4);
    }
    expect_quick(&ctx, egress, "alice", "fast.example");
    hf_arena_free(ctx.arena);
}

/* However many names of silent servers one owner has, and however fast he gives up. */
static void test_resolve__silent_names_of_one_owner_hold_up_nobody_else(void **state)
{
    const struct egress_want slow = {"slow.example", 5432, false, "mallory"};
    const struct egress_want mine = {"fast.example", 5432, false, "mallory"};
    const struct egress_want other = {"fast.example", 5432, false, "alice"};
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.lookup = lookup_slow_or_known});
    struct egress_addresses found;
    (void)state;

    for (int i = 0; i < 16; i++) {
        struct hf_ctx hurry = ctx;

        hurry.deadline_us = hf_mono_us() + 20000;
        assert_int_equal(egress_resolve(&hurry, egress, &slow, &found).code, HF_DEADLINE_EXCEEDED);
    }
    int64_t start_us = hf_mono_us();

    assert_int_equal(egress_resolve(&ctx, egress, &other, &found).code, HF_OK);
    assert_true(hf_mono_us() - start_us < HF_US_PER_S / 2);
    assert_int_equal(egress_resolve(&ctx, egress, &mine, &found).code, HF_OK); /* in its turn */
    hf_arena_free(ctx.arena);
}

/* A rule that is dropped is a hole. */
static void test_settings__one_entry_too_many_is_refused(void **state)
{
    enum { ENTRIES = 1025, BYTES_EACH = 11 };
    struct hf_ctx ctx = ctx_begin();
    char *list = hf_alloc(ctx.arena, ENTRIES * BYTES_EACH + 1);
    struct egress *egress = NULL;
    (void)state;

    for (size_t i = 0; i < ENTRIES; i++) {
        memcpy(list + i * BYTES_EACH, " 10.0.0.1, ", BYTES_EACH + 1);
    }
    const struct egress_options cases[] = {{.prefix = "sources", .denied = list},
                                           {.prefix = "sources", .allowed = list},
                                           {.prefix = "sources", .socket_dirs = list}};

    for (size_t i = 0; i < 3; i++) {
        struct hf_status status = egress_new(&ctx, &cases[i], &egress);

        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_true(i == 2 || strstr(status.message, "more than 1024 entries") != NULL);
    }
    list[(ENTRIES - 1) * BYTES_EACH] = '\0';
    assert_int_equal(egress_new(&ctx, &cases[0], &egress).code, HF_OK);
    egress_free(egress);
    hf_arena_free(ctx.arena);
}

static void test_resolve__own_listeners_by_name_and_everywhere(void **state)
{
    static const struct egress_endpoint own[] = {{"127.0.0.1", 7401}, {"", 5432}, {"10.0.0.9", 80}};
    struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(egress_free)
    struct egress *egress =
        gate(&ctx, (struct egress_options){.local = EGRESS_LOCAL_ON, .own = own, .own_len = 3});
    const struct egress_want wants[] = {{"localhost", 7401, true, NULL},
                                        {"127.2.3.4", 5432, true, NULL},
                                        {"::1", 7401, true, NULL},
                                        {"0", 5432, true, NULL},
                                        {"10.0.0.9", 80, true, NULL}};
    struct egress_addresses found;
    (void)state;

    for (size_t i = 0; i < HF_LEN(wants); i++) {
        assert_string_equal(reason_of(egress_resolve(&ctx, egress, &wants[i], &found)),
                            "ADDRESS_OWN_LISTENER");
    }
    const struct egress_want other = {"localhost", 7402, false, NULL};

    assert_int_equal(egress_resolve(&ctx, egress, &other, &found).code, HF_OK);
    assert_true(found.len >= 1);
    assert_int_equal(found.list[0].port, 7402);
    hf_arena_free(ctx.arena);
}

static int listen_at(struct hf_arena *arena, const char *dir, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = hf_path_join(arena, dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static const char *socket_reason(struct hf_ctx *ctx, struct egress *egress, const char *dir,
                                 bool is_operator)
{
    HF_CLEANUP(hf_close) int fd = -1;

    return reason_of(egress_socket_open(ctx, egress, dir, "sock", is_operator, &fd));
}

static void test_socket__directories_by_what_they_are(void **state)
{
    char root[] = "/tmp/egress_XXXXXX";
    struct hf_ctx ctx = ctx_begin();
    struct hf_arena *arena = ctx.arena;
    (void)state;

    assert_non_null(mkdtemp(root));
    const char *own_dir = hf_path_join(arena, root, "own");
    const char *theirs = hf_path_join(arena, root, "theirs");
    const char *linked = hf_path_join(arena, root, "linked");
    const char *alias = hf_path_join(arena, root, "alias");

    assert_int_equal(mkdir(own_dir, 0700) | mkdir(theirs, 0700) | mkdir(linked, 0700), 0);
    assert_int_equal(symlink(own_dir, alias), 0);
    HF_CLEANUP(hf_close) int ours = listen_at(arena, own_dir, "sock");
    HF_CLEANUP(hf_close) int other = listen_at(arena, theirs, "sock");

    assert_true(ours >= 0 && other >= 0);

    assert_int_equal(
        symlink(hf_path_join(arena, own_dir, "sock"), hf_path_join(arena, linked, "sock")), 0);
    const struct egress_endpoint own = {own_dir, 0};
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.own = &own, .own_len = 1});

    assert_string_equal(socket_reason(&ctx, egress, theirs, true), "");
    assert_string_equal(socket_reason(&ctx, egress, theirs, false), "LOCAL_NEEDS_OPERATOR");
    assert_string_equal(socket_reason(&ctx, egress, own_dir, true), "SOCKET_OWN");
    assert_string_equal(socket_reason(&ctx, egress, alias, true), "SOCKET_OWN");
    assert_string_equal(socket_reason(&ctx, egress, hf_printf(arena, "%s/../own/.", theirs), true),
                        "SOCKET_OWN");
    assert_string_equal(socket_reason(&ctx, egress, linked, true), "SOCKET_INVALID");
    assert_string_equal(socket_reason(&ctx, egress, "@abstract", true), "SOCKET_ABSTRACT");
    assert_string_equal(socket_reason(&ctx, egress, root, true), "HOST_UNREACHABLE");
    assert_string_equal(socket_reason(&ctx, egress, "/nonexistent", true), "HOST_UNREACHABLE");
    assert_string_equal(socket_reason(&ctx, egress, "/nonexistent", false), "LOCAL_NEEDS_OPERATOR");

    HF_CLEANUP(egress_free)
    struct egress *listed = gate(&ctx, (struct egress_options){.own = &own,
                                                               .own_len = 1,
                                                               .local = EGRESS_LOCAL_ON,
                                                               .socket_dirs = "/none, /tmp"});
    assert_string_equal(socket_reason(&ctx, listed, theirs, true), "SOCKET_DIR_NOT_ALLOWED");
    assert_string_equal(socket_reason(&ctx, listed, theirs, false), "SOCKET_DIR_NOT_ALLOWED");

    HF_CLEANUP(egress_free)
    struct egress *open_to_all =
        gate(&ctx, (struct egress_options){
                       .own = &own, .own_len = 1, .local = EGRESS_LOCAL_ON, .socket_dirs = theirs});
    assert_string_equal(socket_reason(&ctx, open_to_all, theirs, false), "");
    assert_string_equal(socket_reason(&ctx, open_to_all, own_dir, true), "SOCKET_OWN");
    assert_true(hf_is_ok(hf_remove_tree(arena, root)));
    hf_arena_free(arena);
}

static void test_socket__a_hard_link_to_ours_is_seen_after_connect(void **state)
{
    char root[] = "/tmp/egress_XXXXXX";
    struct hf_ctx ctx = ctx_begin();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;

    assert_non_null(mkdtemp(root));
    const char *own_dir = hf_path_join(ctx.arena, root, "own");

    assert_int_equal(mkdir(own_dir, 0700), 0);
    HF_CLEANUP(hf_close) int ours = listen_at(ctx.arena, own_dir, "sock");
    HF_CLEANUP(hf_close) int other = listen_at(ctx.arena, root, "other");

    assert_true(ours >= 0 && other >= 0);
    HF_CLEANUP(hf_close) int to_ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HF_CLEANUP(hf_close) int to_other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *link_path = hf_path_join(ctx.arena, root, "sock");
    const char *other_path = hf_path_join(ctx.arena, root, "other");

    assert_int_equal(link(hf_path_join(ctx.arena, own_dir, "sock"), link_path), 0);
    memcpy(address.sun_path, link_path, strlen(link_path) + 1);
    assert_int_equal(
        connect(to_ours, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    memcpy(address.sun_path, other_path, strlen(other_path) + 1);
    assert_int_equal(
        connect(to_other, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);

    const struct egress_endpoint own = {own_dir, 0};
    HF_CLEANUP(egress_free)
    struct egress *egress = gate(&ctx, (struct egress_options){.own = &own, .own_len = 1});

    assert_string_equal(reason_of(egress_socket_check(&ctx, egress, to_ours)), "SOCKET_OWN");
    assert_string_equal(reason_of(egress_socket_check(&ctx, egress, to_other)), "");
    assert_true(hf_is_ok(hf_remove_tree(ctx.arena, root)));
    hf_arena_free(ctx.arena);
}

static void test_new__names_the_entry_that_is_wrong(void **state)
{
    static const struct egress_options cases[] = {
        {.prefix = "sources", .allowed = "10.0.0.0/8, 10.0.0.1/8"},
        {.prefix = "sources", .denied = "nonsense"},
        {.prefix = "sources", .socket_dirs = "/run, relative"},
    };
    struct hf_ctx ctx = ctx_begin();
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct egress *egress = NULL;
        struct hf_status status = egress_new(&ctx, &cases[i], &egress);

        assert_int_equal(status.code, HF_INVALID_ARGUMENT);
        assert_non_null(strstr(status.message, "sources_"));
        assert_null(egress);
    }
    hf_arena_free(ctx.arena);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve__odd_spellings_are_judged_as_what_they_are),
        cmocka_unit_test(test_resolve__every_address_is_judged_and_again_each_time),
        cmocka_unit_test(test_resolve__answers_are_bounded),
        cmocka_unit_test(test_resolve__a_resolver_that_hangs_holds_nobody),
        cmocka_unit_test(test_resolve__silent_names_of_one_owner_hold_up_nobody_else),
        cmocka_unit_test(test_resolve__each_name_is_asked_once_and_gives_its_turn_back),
        cmocka_unit_test(test_resolve__silent_names_hold_up_no_good_one_of_their_owner),
        cmocka_unit_test(test_resolve__silent_names_of_many_owners_leave_threads),
        cmocka_unit_test(test_settings__one_entry_too_many_is_refused),
        cmocka_unit_test(test_resolve__own_listeners_by_name_and_everywhere),
        cmocka_unit_test(test_socket__directories_by_what_they_are),
        cmocka_unit_test(test_socket__a_hard_link_to_ours_is_seen_after_connect),
        cmocka_unit_test(test_new__names_the_entry_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
