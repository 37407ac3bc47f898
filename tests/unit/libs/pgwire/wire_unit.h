/* What the tests on real servers share: a ctx with a deadline, opening of connections. */
#ifndef HF_TESTS_UNIT_PGWIRE_WIRE_UNIT_H
#define HF_TESTS_UNIT_PGWIRE_WIRE_UNIT_H

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ctx.h"
#include "egress/egress.h"
#include "pgwire/conn.h"
#include "testkit/pgserver.h"
#include "tests/unit/unit.h"

#define assert_ok(status)                                                                          \
    do {                                                                                           \
        struct hf_status assert_ok_ = (status);                                                    \
        if (!hf_is_ok(assert_ok_)) {                                                               \
            print_error("%s: %s\n", hf_code_name(assert_ok_.code), assert_ok_.message);            \
        }                                                                                          \
        assert_int_equal(assert_ok_.code, HF_OK);                                                  \
    } while (0)

#define assert_fails(status, expected, expected_reason)                                            \
    do {                                                                                           \
        struct hf_status assert_fails_ = (status);                                                 \
        if (assert_fails_.code != (expected)) {                                                    \
            print_error("%s: %s\n", hf_code_name(assert_fails_.code), assert_fails_.message);      \
        }                                                                                          \
        assert_int_equal(assert_fails_.code, (expected));                                          \
        assert_non_null(assert_fails_.info);                                                       \
        assert_string_equal(assert_fails_.info->reason, (expected_reason));                        \
    } while (0)

static inline struct hf_ctx ctx_begin(void)
{
    return (struct hf_ctx){.arena = hf_arena_new(16 << 20),
                           .deadline_us = hf_mono_us() + 60 * HF_US_PER_S};
}

static inline void ctx_end_cleanup(struct hf_ctx *ctx)
{
    hf_arena_free(ctx->arena);
}

/* A gate that lets everything of this machine through, made at the first use and kept. */
static inline const struct pgwire_access *wire_access(void)
{
    static struct pgwire_access access;

    if (access.egress == NULL) {
        struct hf_ctx ctx = {.arena = hf_arena_new(1 << 20)};
        const struct egress_options options = {.prefix = "sources", .local = EGRESS_LOCAL_ON};

        assert_ok(egress_new(&ctx, &options, &access.egress));
        access.is_operator = true;
        hf_arena_free(ctx.arena);
    }
    return &access;
}

static inline struct pgwire_conn *conn_get(struct hf_ctx *ctx, const char *dsn,
                                           enum pgwire_mode mode)
{
    struct pgwire_options options = {
        .dsn = dsn, .password = "secret", .access = wire_access(), .mode = mode};
    struct pgwire_conn *conn = NULL;

    assert_ok(pgwire_open(ctx, &options, &conn));
    return conn;
}

static inline int no_servers(void)
{
    print_message("no PostgreSQL 15 in /usr/lib/postgresql: skipped\n");
    return 77;
}

#endif
