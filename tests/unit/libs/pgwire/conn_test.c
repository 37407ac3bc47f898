/* Connections to a real server: what works, and the reason for each way to fail. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "testkit/run.h"
#include "wire_unit.h"

static int server_make(void **state)
{
    static const char *const settings[] = {"max_connections = 10", "max_wal_senders = 3",
                                           "superuser_reserved_connections = 2", NULL};
    struct pgserver *server =
        pgserver_new(&(struct pgserver_options){.settings = settings, .needs_password = true});

    pgserver_sql(server, "create role plain login password 'secret'");
    pgserver_sql(server, "create role repl login replication password 'secret'");
    *state = server;
    return 0;
}

static int server_drop(void **state)
{
    pgserver_free(*state);
    return 0;
}

static const char *dsn_of(struct hf_ctx *ctx, struct pgserver *server, const char *user)
{
    return hf_printf(ctx->arena, "host=127.0.0.1 port=%d user=%s", pgserver_port(server), user);
}

static struct hf_status try_open(struct hf_ctx *ctx, const struct pgwire_options *options)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;

    return pgwire_open(ctx, options, &conn);
}

static void test_conn__runs_queries(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, dsn_of(&ctx, *state, "plain"), PGWIRE_SQL);
    const char *const params[] = {"it's", NULL};
    struct pgwire_rows rows;

    assert_ok(pgwire_query(&ctx, conn, "select $1::text, $2::text, 1 union all select 'b','c',2",
                           params, 2, &rows));
    assert_int_equal(rows.rows, 2);
    assert_int_equal(rows.columns, 3);
    assert_string_equal(pgwire_value(&rows, 0, 0), "it's");
    assert_null(pgwire_value(&rows, 0, 1));
    assert_string_equal(pgwire_value(&rows, 1, 2), "2");
    assert_fails(pgwire_query(&ctx, conn, "select * from pg_authid", NULL, 0, &rows),
                 HF_PERMISSION_DENIED, "NO_PRIVILEGE");
    assert_fails(pgwire_query(&ctx, conn, "nonsense", NULL, 0, &rows), HF_INTERNAL, "SERVER_ERROR");
    assert_true(pgwire_is_alive(conn));
    assert_ok(pgwire_query(&ctx, conn, "select 1", NULL, 0, &rows));
    assert_true(pgwire_server_version(conn) / 10000 == 15);
    assert_string_equal(pgwire_user(conn), "plain");
}

static void test_conn__tells_a_wrong_password(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = dsn_of(&ctx, *state, "repl"),
                                     .password = "hunter2",
                                     .mode = PGWIRE_REPLICATION};
    struct hf_status status = try_open(&ctx, &options);

    assert_fails(status, HF_PERMISSION_DENIED, "AUTHENTICATION_FAILED");
    assert_null(strstr(status.message, "hunter2"));
    assert_null(strstr(status.message, "LOCATION"));
    options.password = NULL;
    assert_fails(try_open(&ctx, &options), HF_PERMISSION_DENIED, "AUTHENTICATION_FAILED");
}

/* Its kernel keeps the connection alive; nobody but us can end the wait. */
static void test_conn__gives_up_a_server_that_hangs(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct hf_ctx patient = {.arena = ctx.arena};
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = dsn_of(&ctx, *state, "repl"),
                                     .password = "secret",
                                     .mode = PGWIRE_REPLICATION,
                                     .answer_timeout_ms = 500};
    struct pgwire_rows rows;
    int64_t begin_us;

    assert_ok(pgwire_open(&ctx, &options, &conn));
    assert_ok(pgwire_query(&patient, conn, "IDENTIFY_SYSTEM", NULL, 0, &rows));
    assert_int_equal(kill(pgwire_backend_pid(conn), SIGSTOP), 0);
    begin_us = hf_mono_us();
    patient.deadline_us = begin_us + 20 * HF_US_PER_S; /* so that the failure ends, too */
    struct hf_status status = pgwire_query(&patient, conn, "IDENTIFY_SYSTEM", NULL, 0, &rows);
    assert_int_equal(kill(pgwire_backend_pid(conn), SIGCONT), 0);
    assert_fails(status, HF_UNAVAILABLE, "HOST_UNREACHABLE");
    assert_true(hf_mono_us() - begin_us < 5 * HF_US_PER_S);
    assert_false(pgwire_is_alive(conn));
}

static void test_conn__keeps_the_password_out_of_messages(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, dsn_of(&ctx, *state, "plain"), PGWIRE_SQL);
    struct pgwire_rows rows;
    struct hf_status status = pgwire_query(&ctx, conn, "select secret", NULL, 0, &rows);

    assert_int_equal(status.code, HF_INTERNAL);
    assert_null(strstr(status.message, "secret"));
    assert_non_null(strstr(status.message, "***"));
}

static void test_conn__tells_a_role_without_replication(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = dsn_of(&ctx, *state, "plain"),
                                     .password = "secret",
                                     .mode = PGWIRE_REPLICATION};
    struct hf_status status = try_open(&ctx, &options);

    assert_fails(status, HF_PERMISSION_DENIED, "ROLE_LACKS_REPLICATION");
    assert_non_null(strstr(status.message, "ALTER ROLE \"plain\" REPLICATION"));
}

/* The server reads its files a while after it was told to. */
static struct hf_status open_reloaded(struct hf_ctx *ctx, struct pgserver *server,
                                      const struct pgwire_options *options, enum hf_code before)
{
    struct hf_status status = {.code = before};

    (void)pgserver_sql(server, "select pg_reload_conf()");
    for (int i = 0; i < 100 && status.code == before; i++) {
        assert_ok(hf_ctx_sleep(ctx, 50));
        status = try_open(ctx, options);
    }
    return status;
}

static void test_conn__tells_whom_peer_authentication_sees(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    const char *hba = hf_printf(ctx.arena, "%s/pg_hba.conf", pgserver_data(*state));
    const char *ident = hf_printf(ctx.arena, "%s/pg_ident.conf", pgserver_data(*state));
    const char *const alone[] = {"/bin/sed", "-i", "1ilocal all,replication repl peer", hba, NULL};
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn =
                                         hf_printf(ctx.arena, "host=%s port=%d user=repl",
                                                   pgserver_socket(*state), pgserver_port(*state)),
                                     .mode = PGWIRE_REPLICATION};

    assert_int_equal(pgserver_run(*state, alone, NULL), 0);
    struct hf_status status = open_reloaded(&ctx, *state, &options, HF_OK);

    assert_fails(status, HF_PERMISSION_DENIED, "PEER_REFUSED");
    const char *fix = strstr(status.message, "`local ");
    const char *line = fix == NULL ? NULL : strstr(fix, "`holdfast ");

    assert_non_null(line); /* both lines are good as they stand */
    const char *const mended[] = {
        "/bin/sed", "-i", hf_printf(ctx.arena, "1i%.*s", (int)strcspn(fix + 1, "`"), fix + 1), hba,
        NULL};
    const char *const mapped[] = {
        "/bin/sed", "-i", hf_printf(ctx.arena, "$a%.*s", (int)strcspn(line + 1, "`"), line + 1),
        ident, NULL};

    assert_int_equal(pgserver_run(*state, mended, NULL), 0);
    assert_int_equal(pgserver_run(*state, mapped, NULL), 0);
    assert_ok(open_reloaded(&ctx, *state, &options, HF_PERMISSION_DENIED));
}

static void test_conn__tells_no_peer_authentication_by_a_name(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    static const char *const roles[] = {"peertube", "nopeer"};
    const char *hba = hf_printf(ctx.arena, "%s/pg_hba.conf", pgserver_data(*state));
    const char *const lines[] = {
        "/bin/sed", "-i", "-e1ilocal all nopeer reject", "-e1ilocal all peertube scram-sha-256",
        hba,        NULL};

    (void)pgserver_sql(*state, "create role peertube login password 'right'");
    (void)pgserver_sql(*state, "create role nopeer login");
    assert_int_equal(pgserver_run(*state, lines, NULL), 0);
    for (size_t i = 0; i < HF_LEN(roles); i++) {
        struct pgwire_options options = {.access = wire_access(),
                                         .dsn = hf_printf(ctx.arena, "host=%s port=%d user=%s",
                                                          pgserver_socket(*state),
                                                          pgserver_port(*state), roles[i]),
                                         .password = "wrong",
                                         .dbname = "postgres"};

        assert_fails(open_reloaded(&ctx, *state, &options, HF_OK), HF_PERMISSION_DENIED,
                     "AUTHENTICATION_FAILED");
    }
}

static void test_conn__tells_a_missing_database(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = dsn_of(&ctx, *state, "plain"),
                                     .password = "secret",
                                     .dbname = "nowhere"};

    assert_fails(try_open(&ctx, &options), HF_NOT_FOUND, "DATABASE_NOT_FOUND");
}

static void test_conn__tells_missing_walsenders_and_connections(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    const char *dsn = dsn_of(&ctx, *state, "repl");
    struct pgwire_options options = {
        .access = wire_access(), .dsn = dsn, .password = "secret", .mode = PGWIRE_REPLICATION};
    struct pgwire_conn *conns[16] = {conn_get(&ctx, dsn, PGWIRE_REPLICATION),
                                     conn_get(&ctx, dsn, PGWIRE_REPLICATION),
                                     conn_get(&ctx, dsn, PGWIRE_REPLICATION)};
    struct hf_status status = hf_success();

    assert_fails(try_open(&ctx, &options), HF_RESOURCE_EXHAUSTED, "NO_WALSENDER");
    options.mode = PGWIRE_SQL;
    for (size_t i = 3; i < HF_LEN(conns) && hf_is_ok(status); i++) {
        status = pgwire_open(&ctx, &options, &conns[i]);
    }
    assert_fails(status, HF_RESOURCE_EXHAUSTED, "NO_CONNECTION_SLOT");
    for (size_t i = 0; i < HF_LEN(conns); i++) {
        pgwire_close(conns[i]);
    }
    while (strcmp(pgserver_sql(*state, "select count(*) from pg_stat_activity where usename = "
                                       "'repl'"),
                  "0") != 0) {
        assert_ok(hf_ctx_sleep(&ctx, 10)); /* the server takes a moment to notice */
    }
}

/* A port that accepts nothing: bound and listening with a full backlog is not portable, so this one
 * listens and never answers. */
static int silent_listen(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_port = testkit_free_port();
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)*ret_port);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void test_conn__tries_host_after_host(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    int silent_port, closed_port = testkit_free_port();
    HF_CLEANUP(hf_close) int silent __attribute__((unused)) = silent_listen(&silent_port);
    struct pgserver *server = *state;
    struct pgwire_options options = {
        .access = wire_access(),
        .dsn = hf_printf(ctx.arena, "host=127.0.0.1,127.0.0.1,127.0.0.1 port=%d,%d,%d user=plain",
                         closed_port, silent_port, pgserver_port(server)),
        .password = "secret",
        .connect_timeout_ms = 1500};
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    int64_t start_us = hf_mono_us();

    assert_ok(pgwire_open(&ctx, &options, &conn));
    assert_true(hf_mono_us() - start_us < 3 * HF_US_PER_S);
    assert_non_null(strstr(pgwire_peer(conn), hf_printf(ctx.arena, ":%d", pgserver_port(server))));
}

/* What fast refusals left over belongs to the host that may still answer. */
static void test_conn__gives_the_last_host_the_time_that_is_left(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    int silent_port, closed_port = testkit_free_port();
    HF_CLEANUP(hf_close) int silent __attribute__((unused)) = silent_listen(&silent_port);
    struct pgwire_options options = {
        .access = wire_access(),
        .dsn = hf_printf(ctx.arena, "host=127.0.0.1,127.0.0.1,127.0.0.1 port=%d,%d,%d", closed_port,
                         closed_port, silent_port),
        .connect_timeout_ms = 1500};
    int64_t start_us = hf_mono_us();
    (void)state;

    assert_fails(try_open(&ctx, &options), HF_UNAVAILABLE, "HOST_UNREACHABLE");
    assert_true(hf_mono_us() - start_us > HF_US_PER_S);
}

static void test_conn__tells_an_unreachable_host(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    int silent_port;
    HF_CLEANUP(hf_close) int silent __attribute__((unused)) = silent_listen(&silent_port);
    struct pgwire_options options = {
        .access = wire_access(),
        .dsn = hf_printf(ctx.arena, "host=127.0.0.1 port=%d", testkit_free_port()),
        .connect_timeout_ms = 300};
    (void)state;

    assert_fails(try_open(&ctx, &options), HF_UNAVAILABLE, "HOST_UNREACHABLE");
    options.dsn = hf_printf(ctx.arena, "host=127.0.0.1 port=%d", silent_port);
    assert_fails(try_open(&ctx, &options), HF_UNAVAILABLE, "HOST_UNREACHABLE");
    options.dsn = "host=name.that.does.not.exist.invalid";
    assert_fails(try_open(&ctx, &options), HF_UNAVAILABLE, "HOST_UNREACHABLE");
    options.connect_timeout_ms = 30000;
    options.dsn = hf_printf(ctx.arena, "host=127.0.0.1 port=%d", silent_port);
    ctx.deadline_us = hf_mono_us() + 200000;
    assert_int_equal(try_open(&ctx, &options).code, HF_DEADLINE_EXCEEDED);
}

static void test_conn__gives_up_a_query_at_the_deadline(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgwire_close)
    struct pgwire_conn *conn = conn_get(&ctx, dsn_of(&ctx, *state, "plain"), PGWIRE_SQL);
    struct pgwire_rows rows;
    struct hf_cancel cancel = {false};

    ctx.deadline_us = hf_mono_us() + 200000;
    assert_int_equal(pgwire_query(&ctx, conn, "select pg_sleep(30)", NULL, 0, &rows).code,
                     HF_DEADLINE_EXCEEDED);
    assert_false(pgwire_is_alive(conn));
    ctx.deadline_us = 0;
    ctx.cancel = &cancel;
    cancel.is_set = true;
    assert_int_equal(try_open(&ctx, &(struct pgwire_options){.access = wire_access(),
                                                             .dsn = dsn_of(&ctx, *state, "plain")})
                         .code,
                     HF_CANCELLED);
}

static void test_conn__skips_standbys_when_asked(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    HF_CLEANUP(pgserver_free) struct pgserver *standby = pgserver_standby(*state);
    struct pgwire_options options = {.access = wire_access(),
                                     .dsn = dsn_of(&ctx, standby, "repl"),
                                     .password = "secret",
                                     .mode = PGWIRE_REPLICATION,
                                     .is_primary_only = true};
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;

    assert_fails(try_open(&ctx, &options), HF_FAILED_PRECONDITION, "WRONG_SERVER_ROLE");
    options.dsn = hf_printf(ctx.arena, "host=127.0.0.1,127.0.0.1 port=%d,%d user=repl",
                            pgserver_port(standby), pgserver_port(*state));
    assert_ok(pgwire_open(&ctx, &options, &conn));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn__runs_queries),
        cmocka_unit_test(test_conn__tells_a_wrong_password),
        cmocka_unit_test(test_conn__gives_up_a_server_that_hangs),
        cmocka_unit_test(test_conn__keeps_the_password_out_of_messages),
        cmocka_unit_test(test_conn__tells_a_role_without_replication),
        cmocka_unit_test(test_conn__tells_whom_peer_authentication_sees),
        cmocka_unit_test(test_conn__tells_no_peer_authentication_by_a_name),
        cmocka_unit_test(test_conn__tells_a_missing_database),
        cmocka_unit_test(test_conn__tells_missing_walsenders_and_connections),
        cmocka_unit_test(test_conn__tries_host_after_host),
        cmocka_unit_test(test_conn__gives_the_last_host_the_time_that_is_left),
        cmocka_unit_test(test_conn__tells_an_unreachable_host),
        cmocka_unit_test(test_conn__gives_up_a_query_at_the_deadline),
        cmocka_unit_test(test_conn__skips_standbys_when_asked),
    };
    return pgserver_is_available() ? cmocka_run_group_tests(tests, server_make, server_drop)
                                   : no_servers();
}
