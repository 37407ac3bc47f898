/* The table of addresses: each with the verdict for a tenant and for an operator. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "egress/judge.h"
#include "tests/unit/unit.h"

static struct egress_address address_of(const char *text, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct egress_address address = {0};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        assert_true(egress_address_of((const struct sockaddr *)(const void *)&v4, &address));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        assert_true(egress_address_of((const struct sockaddr *)(const void *)&v6, &address));
    }
    return address;
}

/* This machine has 10.9.8.7 and 2001:db8:9::7; the installation listens at port 7401 of its
 * loopback and at 172.16.0.5:5432 elsewhere. */
static struct egress_scene scene_make(struct egress_address machine[3],
                                      struct egress_address own[2])
{
    machine[0] = address_of("127.0.0.1", 0);
    machine[1] = address_of("10.9.8.7", 0);
    machine[2] = address_of("2001:db8:9::7", 0);
    own[0] = address_of("127.0.0.1", 7401);
    own[1] = address_of("172.16.0.5", 5432);
    return (struct egress_scene){machine, 3, own, 2};
}

#define SAME(verdict) (verdict), (verdict)
#define LOCAL EGRESS_LOCAL_NEEDS_OPERATOR, EGRESS_FINE

static const struct {
    const char *address;
    enum egress_verdict tenant;
    enum egress_verdict operator;
} cases[] = {
    /* fine: public, private */
    {"8.8.8.8", SAME(EGRESS_FINE)},
    {"1.0.0.1", SAME(EGRESS_FINE)},
    {"10.0.0.1", SAME(EGRESS_FINE)},
    {"10.255.255.255", SAME(EGRESS_FINE)},
    {"172.16.0.1", SAME(EGRESS_FINE)},
    {"172.31.255.254", SAME(EGRESS_FINE)},
    {"192.168.0.1", SAME(EGRESS_FINE)},
    {"100.64.0.1", SAME(EGRESS_FINE)},
    {"100.100.100.199", SAME(EGRESS_FINE)},
    {"126.255.255.255", SAME(EGRESS_FINE)},
    {"128.0.0.1", SAME(EGRESS_FINE)},
    {"169.253.255.255", SAME(EGRESS_FINE)},
    {"169.255.0.1", SAME(EGRESS_FINE)},
    {"223.255.255.255", SAME(EGRESS_FINE)},
    {"192.0.2.1", SAME(EGRESS_FINE)},
    {"198.51.100.7", SAME(EGRESS_FINE)},
    {"2001:4860:4860::8888", SAME(EGRESS_FINE)},
    {"2a00:1450::1", SAME(EGRESS_FINE)},
    {"fd00::1", SAME(EGRESS_FINE)},
    {"fc00::1", SAME(EGRESS_FINE)},
    {"2001:db8::1", SAME(EGRESS_FINE)},
    {"::ffff:8.8.8.8", SAME(EGRESS_FINE)},
    {"2002:808:808::1", SAME(EGRESS_FINE)},
    {"64:ff9b::8.8.8.8", SAME(EGRESS_FINE)},
    /* loopback and this machine's own addresses */
    {"127.0.0.1", LOCAL},
    {"127.0.0.0", LOCAL},
    {"127.1.2.3", LOCAL},
    {"127.255.255.255", LOCAL},
    {"::1", LOCAL},
    {"::ffff:127.0.0.1", LOCAL},
    {"::127.0.0.1", LOCAL},
    {"::ffff:0:127.0.0.1", LOCAL},
    {"2002:7f00:1::", LOCAL},
    {"2002:7f00:1::42", LOCAL},
    {"64:ff9b::127.0.0.1", LOCAL},
    {"64:ff9b::7f00:1", LOCAL},
    {"64:ff9b:1:7f00:0:100::", LOCAL},
    {"64:ff9b:1::808:808", SAME(EGRESS_FINE)},
    {"64:ff9b:1:808:8:800::", SAME(EGRESS_FINE)},
    {"64:ff9b:1::7f00:1", LOCAL},
    {"2001:0:7f00:1:0:0:f7f7:f7f7", LOCAL},
    {"fd00::5efe:127.0.0.1", LOCAL},
    {"2001:db8:1:2:200:5efe:7f00:1", LOCAL},
    {"10.9.8.7", LOCAL},
    {"::ffff:10.9.8.7", LOCAL},
    {"2001:db8:9::7", LOCAL},
    {"64:ff9b::10.9.8.7", LOCAL},
    /* unspecified: the kernel connects to loopback */
    {"0.0.0.0", SAME(EGRESS_UNSPECIFIED)},
    {"0.0.0.1", SAME(EGRESS_UNSPECIFIED)},
    {"0.255.255.255", SAME(EGRESS_UNSPECIFIED)},
    {"::", SAME(EGRESS_UNSPECIFIED)},
    {"::ffff:0.0.0.0", SAME(EGRESS_UNSPECIFIED)},
    {"64:ff9b::", SAME(EGRESS_UNSPECIFIED)},
    /* link-local */
    {"169.254.0.1", SAME(EGRESS_LINK_LOCAL)},
    {"169.254.255.255", SAME(EGRESS_LINK_LOCAL)},
    {"169.254.169.253", SAME(EGRESS_LINK_LOCAL)},
    {"::ffff:169.254.1.1", SAME(EGRESS_LINK_LOCAL)},
    {"fe80::1", SAME(EGRESS_LINK_LOCAL)},
    {"febf:ffff::1", SAME(EGRESS_LINK_LOCAL)},
    {"fe80::5efe:8.8.8.8", SAME(EGRESS_LINK_LOCAL)},
    {"2002:a9fe:101::", SAME(EGRESS_LINK_LOCAL)},
    /* metadata services */
    {"169.254.169.254", SAME(EGRESS_METADATA)},
    {"169.254.170.2", SAME(EGRESS_METADATA)},
    {"169.254.170.23", SAME(EGRESS_METADATA)},
    {"100.100.100.200", SAME(EGRESS_METADATA)},
    {"168.63.129.16", SAME(EGRESS_METADATA)},
    {"192.0.0.192", SAME(EGRESS_METADATA)},
    {"fd00:ec2::254", SAME(EGRESS_METADATA)},
    {"fd00:ec2::23", SAME(EGRESS_METADATA)},
    {"fd20:ce::254", SAME(EGRESS_METADATA)},
    {"fd00:c1::a9fe:a9fe", SAME(EGRESS_METADATA)},
    {"::ffff:169.254.169.254", SAME(EGRESS_METADATA)},
    {"::169.254.169.254", SAME(EGRESS_METADATA)},
    {"64:ff9b::169.254.169.254", SAME(EGRESS_METADATA)},
    {"64:ff9b:1::a9fe:a9fe", SAME(EGRESS_METADATA)},
    {"2002:a9fe:a9fe::1", SAME(EGRESS_METADATA)},
    {"2001:0:0808:0808:0:0:5601:5601", SAME(EGRESS_METADATA)}, /* Teredo, the client inverted */
    /* multicast, broadcast, reserved */
    {"224.0.0.1", SAME(EGRESS_MULTICAST)},
    {"239.255.255.255", SAME(EGRESS_MULTICAST)},
    {"ff02::1", SAME(EGRESS_MULTICAST)},
    {"ff0e::101", SAME(EGRESS_MULTICAST)},
    {"::ffff:224.0.0.1", SAME(EGRESS_MULTICAST)},
    {"255.255.255.255", SAME(EGRESS_BROADCAST)},
    {"::ffff:255.255.255.255", SAME(EGRESS_BROADCAST)},
    {"240.0.0.1", SAME(EGRESS_RESERVED)},
    {"255.255.255.254", SAME(EGRESS_RESERVED)},
    {"192.0.0.1", SAME(EGRESS_RESERVED)},
    {"192.88.99.1", SAME(EGRESS_RESERVED)},
    {"fec0::1", SAME(EGRESS_RESERVED)},
    {"100::1", SAME(EGRESS_RESERVED)},
    {"5f00::1", SAME(EGRESS_RESERVED)},
};

static void test_judge__each_address_has_its_verdict(void **state)
{
    const struct egress_rules rules = {0};
    struct egress_address machine[3];
    struct egress_address own[2];
    struct egress_scene scene = scene_make(machine, own);
    (void)state;

    assert_true(HF_LEN(cases) >= 80);
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct egress_address address = address_of(cases[i].address, 5432);
        enum egress_verdict tenant = egress_judge(&rules, &scene, &address, false);
        enum egress_verdict as_operator = egress_judge(&rules, &scene, &address, true);

        if (tenant != cases[i].tenant || as_operator != cases[i].operator) {
            fail_msg("%s: %d for a tenant, %d for an operator", cases[i].address, (int)tenant,
                     (int)as_operator);
        }
    }
}

static void test_judge__own_listeners_are_refused_to_everybody(void **state)
{
    static const struct {
        const char *address;
        uint16_t port;
        enum egress_verdict want; /* for an operator, everything switched on */
    } own_cases[] = {
        {"127.0.0.1", 7401, EGRESS_OWN_LISTENER},
        {"127.0.0.1", 7402, EGRESS_FINE},
        {"127.9.9.9", 7401, EGRESS_OWN_LISTENER},
        {"::1", 7401, EGRESS_OWN_LISTENER},
        {"0.0.0.0", 7401, EGRESS_OWN_LISTENER},
        {"::", 7401, EGRESS_OWN_LISTENER},
        {"10.9.8.7", 7401, EGRESS_OWN_LISTENER},
        {"10.9.8.8", 7401, EGRESS_FINE},
        {"172.16.0.5", 5432, EGRESS_OWN_LISTENER},
        {"172.16.0.5", 5433, EGRESS_FINE},
        {"172.16.0.6", 5432, EGRESS_FINE},
        {"2001:db8:9::7", 7401, EGRESS_OWN_LISTENER},
        {"::ffff:10.9.8.7", 7401, EGRESS_OWN_LISTENER},
        {"64:ff9b::172.16.0.5", 5432, EGRESS_OWN_LISTENER},
        {"2002:ac10:5::1", 5432, EGRESS_OWN_LISTENER},
    };
    const struct egress_rules rules = {.local = EGRESS_LOCAL_ON};
    struct egress_address machine[3];
    struct egress_address own[2];
    struct egress_scene scene = scene_make(machine, own);
    (void)state;

    for (size_t i = 0; i < HF_LEN(own_cases); i++) {
        struct egress_address address = address_of(own_cases[i].address, own_cases[i].port);

        assert_int_equal(egress_judge(&rules, &scene, &address, true), own_cases[i].want);
    }
}

static void test_judge__settings_narrow_and_open_what_they_may(void **state)
{
    static const struct {
        const char *allowed;
        const char *denied;
        enum egress_local local;
        const char *address;
        enum egress_verdict want; /* for a tenant */
    } set_cases[] = {
        {"10.0.0.0/8", NULL, EGRESS_LOCAL_AUTO, "10.1.2.3", EGRESS_FINE},
        {"10.0.0.0/8", NULL, EGRESS_LOCAL_AUTO, "11.1.2.3", EGRESS_NOT_ALLOWED},
        {"10.0.0.0/8", NULL, EGRESS_LOCAL_AUTO, "::ffff:10.1.2.3", EGRESS_FINE},
        {"0.0.0.0/0", NULL, EGRESS_LOCAL_AUTO, "8.8.8.8", EGRESS_FINE},
        {"0.0.0.0/0", NULL, EGRESS_LOCAL_AUTO, "2a00::1", EGRESS_NOT_ALLOWED},
        {"169.254.0.0/16", NULL, EGRESS_LOCAL_AUTO, "169.254.1.1", EGRESS_LINK_LOCAL},
        {"127.0.0.0/8", NULL, EGRESS_LOCAL_AUTO, "127.0.0.1", EGRESS_LOCAL_NEEDS_OPERATOR},
        {"10.0.0.0/8", NULL, EGRESS_LOCAL_ON, "127.0.0.1", EGRESS_FINE},
        {NULL, NULL, EGRESS_LOCAL_OFF, "127.0.0.1", EGRESS_LOCAL_IS_OFF},
        {NULL, "127.0.0.0/8", EGRESS_LOCAL_ON, "127.0.0.1", EGRESS_DENIED},
        {NULL, "10.0.0.0/8", EGRESS_LOCAL_AUTO, "10.1.2.3", EGRESS_DENIED},
        {NULL, "10.0.0.0/8", EGRESS_LOCAL_AUTO, "64:ff9b::10.1.2.3", EGRESS_DENIED},
        {NULL, "10.0.0.0/8", EGRESS_LOCAL_AUTO, "11.0.0.1", EGRESS_FINE},
        {NULL, "fd00::/8", EGRESS_LOCAL_AUTO, "fd12::1", EGRESS_DENIED},
        {"10.0.0.0/8", "10.1.0.0/16", EGRESS_LOCAL_AUTO, "10.1.2.3", EGRESS_DENIED},
        {"10.0.0.0/8", "10.1.0.0/16", EGRESS_LOCAL_AUTO, "10.2.2.3", EGRESS_FINE},
    };
    struct egress_address machine[3];
    struct egress_address own[2];
    struct egress_scene scene = scene_make(machine, own);
    (void)state;

    for (size_t i = 0; i < HF_LEN(set_cases); i++) {
        struct egress_range allowed;
        struct egress_range denied;
        struct egress_rules rules = {.local = set_cases[i].local,
                                     .allowed = &allowed,
                                     .allowed_len = set_cases[i].allowed != NULL,
                                     .denied = &denied,
                                     .denied_len = set_cases[i].denied != NULL};
        struct egress_address address = address_of(set_cases[i].address, 5432);

        assert_true(rules.allowed_len == 0 || egress_range_parse(set_cases[i].allowed, &allowed));
        assert_true(rules.denied_len == 0 || egress_range_parse(set_cases[i].denied, &denied));
        assert_int_equal(egress_judge(&rules, &scene, &address, false), set_cases[i].want);
    }
}

static void test_range__takes_only_whole_cidrs(void **state)
{
    static const char *const good[] = {"10.0.0.0/8",  "10.1.2.3", "0.0.0.0/0", "::/0",
                                       "fd00::/8",    "::1",      "fe80::/10", "192.168.1.0/24",
                                       "10.1.2.3/32", "::1/128",  "127.0.0.1"};
    static const char *const bad[] = {
        "",          "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8",    "::1/129", "fd00::1/8", "host",
        "10.0.0.0/", "10.0.0.0/8x", "/8",         "10.0.0.0/-1", "0x7f.1",  "2130706433"};
    struct egress_range range;
    (void)state;

    for (size_t i = 0; i < HF_LEN(good); i++) {
        assert_true(egress_range_parse(good[i], &range));
    }
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_false(egress_range_parse(bad[i], &range));
    }
}

static void test_verdicts__each_has_a_reason_of_its_own(void **state)
{
    (void)state;

    for (int i = EGRESS_FINE + 1; i < EGRESS_VERDICTS; i++) {
        const struct egress_verdict_text *text = egress_verdict_text((enum egress_verdict)i);

        assert_non_null(text->reason);
        assert_true(strlen(text->what) > 0);
        for (int k = EGRESS_FINE + 1; k < i; k++) {
            assert_string_not_equal(text->reason,
                                    egress_verdict_text((enum egress_verdict)k)->reason);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge__each_address_has_its_verdict),
        cmocka_unit_test(test_judge__own_listeners_are_refused_to_everybody),
        cmocka_unit_test(test_judge__settings_narrow_and_open_what_they_may),
        cmocka_unit_test(test_range__takes_only_whole_cidrs),
        cmocka_unit_test(test_verdicts__each_has_a_reason_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
