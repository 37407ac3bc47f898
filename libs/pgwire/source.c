/* Looks at a source and judges it. Surprise: what a role may see differs much between servers, so
 * every single answer may be "unknown"; only what makes protection impossible is an error. */
#include "pgwire/source.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/vec.h"
#include "pgformat/wal.h"
#include "pgwire/dsn.h"
#include "pgwire/internal.h"

#define SKEW_US (2 * HF_US_PER_S)
#define OLDEST 140000
#define TOO_NEW 190000

struct look {
    struct hf_ctx *ctx;
    const struct pgwire_source_options *options;
    struct pgwire_conn *wire; /* replication */
    struct pgwire_conn *sql;  /* NULL when there is none */
    struct pgwire_conn *conn; /* that of the two on which settings are shown */
    struct pgwire_source source;
    HF_VEC(struct pgwire_finding) findings;
};

static void finding_add(struct look *look, const char *reason, const char *message, const char *fix)
{
    *HF_VEC_ADD(look->ctx->arena, &look->findings) = (struct pgwire_finding){reason, message, fix};
}

/* Is it an unsigned number, as it is stored and compared? */
static bool is_number(const char *text)
{
    uint64_t value;

    return strlen(text) <= 20 && hf_parse_u64(text, &value);
}

struct hf_status pgwire_identify(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                 struct pgwire_identity *ret_identity)
{
    struct pgwire_identity identity = {0};
    struct pgwire_rows rows;
    uint64_t timeline;

    HF_TRY(pgwire_query(ctx, conn, "IDENTIFY_SYSTEM", NULL, 0, &rows));
    if (rows.rows != 1 || rows.columns < 3 || pgwire_value(&rows, 0, 0) == NULL ||
        pgwire_value(&rows, 0, 1) == NULL || pgwire_value(&rows, 0, 2) == NULL ||
        !is_number(pgwire_value(&rows, 0, 0)) ||
        !hf_parse_u64(pgwire_value(&rows, 0, 1), &timeline) || timeline == 0 ||
        timeline > INT32_MAX || !pgf_lsn_parse(pgwire_value(&rows, 0, 2), &identity.flush_lsn) ||
        identity.flush_lsn > PGWIRE_LSN_MAX) {
        return hf_fail_info(ctx->arena, HF_INTERNAL, "SERVER_ERROR", NULL,
                            "the server's answer to IDENTIFY_SYSTEM makes no sense");
    }
    identity.system_identifier = pgwire_value(&rows, 0, 0);
    identity.timeline = (uint32_t)timeline;
    *ret_identity = identity;
    return hf_success();
}

struct hf_status pgwire_show(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *setting,
                             const char **ret_value)
{
    struct pgwire_rows rows;

    HF_TRY(pgwire_query(ctx, conn, hf_printf(ctx->arena, "SHOW %s", setting), NULL, 0, &rows));
    if (rows.rows != 1 || rows.columns != 1 || pgwire_value(&rows, 0, 0) == NULL) {
        return hf_fail_info(ctx->arena, HF_INTERNAL, "SERVER_ERROR", NULL,
                            "the server does not show %s", setting);
    }
    *ret_value = pgwire_value(&rows, 0, 0);
    return hf_success();
}

/* "16MB" → bytes; -1 when it is not such a text ("-1" gives -1, too). */
static int64_t size_parse(const char *text)
{
    static const struct {
        const char *unit;
        int64_t bytes;
    } units[] = {{"", 1},         {"B", 1},        {"kB", 1 << 10},
                 {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", INT64_C(1) << 40}};
    int64_t value = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 15) {
        return -1;
    }
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (text[i] - '0');
    }
    for (size_t i = 0; i < HF_LEN(units); i++) {
        if (strcmp(text + digits, units[i].unit) == 0) {
            return value <= INT64_MAX / units[i].bytes ? value * units[i].bytes : -1;
        }
    }
    return -1;
}

struct hf_status pgwire_segment_size(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                     uint64_t *ret_bytes)
{
    const char *text = "";
    int64_t bytes;

    HF_TRY(pgwire_show(ctx, conn, "wal_segment_size", &text));
    bytes = size_parse(text);
    if (bytes < 0 || !pgf_wal_segment_size_ok((uint64_t)bytes)) {
        return hf_fail_info(ctx->arena, HF_INTERNAL, "SERVER_ERROR", NULL,
                            "the server names a WAL segment size of %s", text);
    }
    *ret_bytes = (uint64_t)bytes;
    return hf_success();
}

/* A setting, or NULL when the role may not see it. Failures of the connection itself count. */
static struct hf_status try_show(struct look *look, const char *setting, const char **ret_value)
{
    struct hf_status status = pgwire_show(look->ctx, look->conn, setting, ret_value);

    if (!hf_is_ok(status) && pgwire_is_alive(look->conn)) {
        *ret_value = NULL;
        return hf_success();
    }
    return status;
}

static enum pgwire_answer answer_of(const char *value)
{
    if (value == NULL) {
        return PGWIRE_UNKNOWN;
    }
    return strcmp(value, "on") == 0 || strcmp(value, "t") == 0 ? PGWIRE_YES : PGWIRE_NO;
}

/* First value of a query on the SQL connection; NULL where that is not allowed or not there. */
static const char *try_sql(struct look *look, const char *sql)
{
    struct pgwire_rows rows;

    if (look->sql == NULL || !pgwire_is_alive(look->sql) ||
        !hf_is_ok(pgwire_query(look->ctx, look->sql, sql, NULL, 0, &rows)) || rows.rows == 0) {
        return NULL;
    }
    return pgwire_value(&rows, 0, 0);
}

/* A count or size that can be: not negative, and small enough to be added and subtracted. */
static int64_t number_or(const char *text, int64_t otherwise)
{
    int64_t value;

    return text != NULL && hf_parse_i64(text, &value) && value >= 0 && value <= INT64_MAX / 2
               ? value
               : otherwise;
}

static struct hf_status version_check(struct look *look)
{
    int version = pgwire_server_version(look->wire);

    look->source.server_version = version;
    if (version >= OLDEST && version < TOO_NEW) {
        return hf_success();
    }
    return hf_fail_info(look->ctx->arena, HF_FAILED_PRECONDITION, "UNSUPPORTED_VERSION", NULL,
                        "the server is PostgreSQL %d, supported are 14 to 18", version / 10000);
}

static struct hf_status wal_level_fail(struct hf_ctx *ctx)
{
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "WAL_LEVEL_MINIMAL", NULL,
                        "wal_level is minimal, so there is no WAL to protect with; on the source "
                        "run: ALTER SYSTEM SET wal_level = 'replica'; ALTER SYSTEM SET "
                        "max_wal_senders = 10; and restart it");
}

/* With wal_level = minimal there are no walsenders at all, so the first connection fails for the
 * wrong reason: ask by SQL for the true one. */
static struct hf_status no_walsender_explain(struct look *look, struct hf_status status)
{
    const char *level = NULL;

    if (look->sql != NULL) {
        level = try_sql(look, "show wal_level");
    }
    return hf_text_equal(level, "minimal") ? wal_level_fail(look->ctx) : status;
}

/* The replication protocol ignores dbname, so only the SQL connection finds out that it is wrong.
 * Whoever wrote it down meant it: a refusal now beats unknown answers for ever. Other reasons for
 * having no SQL connection are legitimate. */
static struct hf_status judge_no_sql(struct look *look, struct hf_status status)
{
    struct pgwire_dsn dsn;

    HF_TRY(pgwire_dsn_parse(look->ctx->arena, look->options->dsn, &dsn));
    if (!pgwire_reason_is(status, "DATABASE_NOT_FOUND") || dsn.dbname[0] == '\0') {
        return hf_success();
    }
    const char *const metadata[] = {"database", dsn.dbname, NULL};

    return hf_fail_info(look->ctx->arena, HF_FAILED_PRECONDITION, "DATABASE_NOT_FOUND", metadata,
                        "the source has no database %s; name one that it has in the dsn, for "
                        "example dbname=postgres",
                        dsn.dbname);
}

static struct hf_status look_connect(struct look *look)
{
    struct pgwire_options options = {.dsn = look->options->dsn,
                                     .password = look->options->password,
                                     .access = look->options->access,
                                     .mode = PGWIRE_REPLICATION,
                                     .is_primary_only = look->options->is_primary_only,
                                     .connect_timeout_ms = look->options->connect_timeout_ms};
    struct hf_status status = pgwire_open(look->ctx, &options, &look->wire);

    if (!hf_is_ok(status) && !pgwire_reason_is(status, "NO_WALSENDER")) {
        return status;
    }
    options.mode = PGWIRE_SQL;
    struct hf_status sql = pgwire_open(look->ctx, &options, &look->sql);

    HF_TRY(hf_ctx_check(look->ctx));
    return hf_is_ok(status) ? judge_no_sql(look, sql) : no_walsender_explain(look, status);
}

static struct hf_status look_at_settings(struct look *look)
{
    struct pgwire_source *source = &look->source;
    const char *text = NULL;

    source->peer = hf_strdup(look->ctx->arena, pgwire_peer(look->conn));
    source->user = hf_strdup(look->ctx->arena, pgwire_user(look->conn));
    HF_TRY(try_show(look, "data_checksums", &text));
    source->has_checksums = answer_of(text);
    HF_TRY(try_show(look, "full_page_writes", &text));
    source->has_full_page_writes = answer_of(text);
    HF_TRY(try_show(look, "fsync", &text));
    source->has_fsync = answer_of(text);
    HF_TRY(try_show(look, "max_slot_wal_keep_size", &text));
    source->max_slot_wal_keep_mb = INT64_MIN;
    if (text != NULL) {
        int64_t bytes = size_parse(text);

        source->max_slot_wal_keep_mb = bytes < 0 ? -1 : bytes >> 20;
    }
    HF_TRY(try_show(look, "synchronous_standby_names", &source->synchronous_names));
    HF_TRY(try_show(look, "in_hot_standby", &text));
    source->is_in_recovery = answer_of(text) == PGWIRE_YES;
    HF_TRY(try_show(look, "data_directory", &source->data_directory));
    HF_TRY(try_show(look, "config_file", &source->config_file));
    HF_TRY(try_show(look, "hba_file", &source->hba_file));
    return try_show(look, "ident_file", &source->ident_file);
}

static struct hf_status look_at_wire(struct look *look)
{
    struct pgwire_source *source = &look->source;
    struct pgwire_identity identity = {0};

    look->conn = look->wire;
    HF_TRY(pgwire_identify(look->ctx, look->wire, &identity));
    source->system_identifier = identity.system_identifier;
    source->timeline = identity.timeline;
    source->flush_lsn = identity.flush_lsn;
    HF_TRY(pgwire_segment_size(look->ctx, look->wire, &source->wal_segment_bytes));
    HF_TRY(pgwire_show(look->ctx, look->wire, "wal_level", &source->wal_level));
    return look_at_settings(look);
}

static void look_at_clock(struct look *look)
{
    int64_t before_us = hf_now_us();
    const char *text = try_sql(
        look, "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint");
    int64_t server_us = number_or(text, 0);

    look->source.clock_skew_us = INT64_MIN;
    if (server_us > 0 && hf_time_in_range(server_us)) {
        look->source.clock_skew_us = server_us - (before_us + (hf_now_us() - before_us) / 2);
    }
}

static struct hf_status look_at_limits(struct look *look)
{
    struct pgwire_source *source = &look->source;
    const char *slots = NULL, *senders = NULL;
    int64_t used_slots =
        number_or(try_sql(look, "select count(*) from pg_catalog.pg_replication_slots"), -1);
    int64_t used_senders =
        number_or(try_sql(look, "select count(*) from pg_catalog.pg_stat_replication"), -1);

    HF_TRY(try_show(look, "max_replication_slots", &slots));
    HF_TRY(try_show(look, "max_wal_senders", &senders));
    source->free_slots = slots != NULL && used_slots >= 0 ? number_or(slots, 0) - used_slots : -1;
    source->free_walsenders = -1;
    if (senders != NULL && used_senders > 0) {
        /* Ours is one of those in use and is given back. */
        source->free_walsenders = number_or(senders, 0) - used_senders + 1;
    }
    return hf_success();
}

static void look_at_role(struct look *look)
{
    static const char of_role[] = "from pg_catalog.pg_roles where rolname = current_user";
    struct hf_arena *arena = look->ctx->arena;

    look->source.is_superuser =
        answer_of(try_sql(look, hf_printf(arena, "select rolsuper %s", of_role)));
    look->source.has_replication =
        answer_of(try_sql(look, hf_printf(arena, "select rolreplication %s", of_role)));
    look->source.size_bytes =
        number_or(try_sql(look, "select sum(pg_catalog.pg_database_size(oid))::bigint "
                                "from pg_catalog.pg_database"),
                  -1);
}

/* Those that Holdfast has count as free: it is what the stream and a backup need. Only of the own
 * role may a poor role see the names. */
static struct hf_status look_at_walsenders(struct look *look)
{
    const char *senders = NULL;
    int64_t others = number_or(
        try_sql(look, "select count(*) from pg_catalog.pg_stat_replication "
                      "where application_name is null or application_name not like 'holdfast%'"),
        -1);

    HF_TRY(try_show(look, "max_wal_senders", &senders));
    look->source.free_walsenders =
        senders != NULL && others >= 0 ? number_or(senders, 0) - others : -1;
    return hf_success();
}

static bool slot_is_ours(struct look *look)
{
    struct pgwire_rows rows;
    const char *const params[] = {look->options->slot};

    return look->options->slot != NULL && look->sql != NULL && pgwire_is_alive(look->sql) &&
           hf_is_ok(pgwire_query(look->ctx, look->sql,
                                 "select 1 from pg_catalog.pg_replication_slots "
                                 "where slot_name = $1",
                                 params, 1, &rows)) &&
           rows.rows == 1;
}

/* In steps, so that the same clock gives the same words at each look. */
static const char *skew_text(int64_t skew_us)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } steps[] = {{86400 * 365, "a year"}, {86400, "a day"}, {3600, "an hour"},
                 {600, "10 minutes"},     {60, "a minute"}, {10, "10 s"}};
    int64_t us = skew_us < 0 ? -skew_us : skew_us;

    for (size_t i = 0; i < HF_LEN(steps); i++) {
        if (us / HF_US_PER_S >= steps[i].seconds) {
            return steps[i].text;
        }
    }
    return "2 s";
}

static void findings_judge(struct look *look)
{
    const struct pgwire_source *source = &look->source;
    struct hf_arena *arena = look->ctx->arena;

    if (source->max_slot_wal_keep_mb == -1) {
        finding_add(look, "SLOT_WAL_UNBOUNDED",
                    "max_slot_wal_keep_size is -1: while the WAL stream is down, the source keeps "
                    "WAL until its disk is full",
                    "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();");
    }
    if (source->has_fsync == PGWIRE_NO) {
        finding_add(look, "FSYNC_OFF", "fsync is off: a crash of the source may corrupt it",
                    "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();");
    }
    if (source->has_full_page_writes == PGWIRE_NO) {
        finding_add(look, "FULL_PAGE_WRITES_OFF", "full_page_writes is off: torn pages stay torn",
                    "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();");
    }
    if (source->has_checksums == PGWIRE_NO) {
        finding_add(look, "CHECKSUMS_OFF",
                    "data checksums are off: damaged pages are backed up without notice",
                    "stop the source and run pg_checksums --enable");
    }
    if (source->free_walsenders >= 0 && source->free_walsenders < 2) {
        finding_add(look, "FEW_WALSENDERS",
                    "the WAL stream and a backup need two free walsenders, there is but one",
                    "ALTER SYSTEM SET max_wal_senders = 10; then restart the source");
    }
    if (source->clock_skew_us != INT64_MIN &&
        (source->clock_skew_us > SKEW_US || source->clock_skew_us < -SKEW_US)) {
        finding_add(look, "CLOCK_SKEW",
                    hf_printf(arena, "the source's clock differs from ours by more than %s",
                              skew_text(source->clock_skew_us)),
                    "synchronise both clocks");
    }
    if (source->config_file == NULL) {
        finding_add(look, "SETTINGS_UNREADABLE",
                    hf_printf(arena, "role %s may not read all settings", source->user),
                    hf_printf(arena, "GRANT pg_read_all_settings TO %s;",
                              pgwire_quote_name(arena, source->user)));
    }
}

static struct hf_status look_all(struct look *look)
{
    HF_TRY(look_connect(look));
    HF_TRY(version_check(look));
    HF_TRY(look_at_wire(look));
    if (strcmp(look->source.wal_level, "minimal") == 0) {
        return wal_level_fail(look->ctx);
    }
    HF_TRY(look_at_limits(look));
    if (look->source.free_slots == 0 && !slot_is_ours(look)) {
        return hf_fail_info(look->ctx->arena, HF_RESOURCE_EXHAUSTED, "NO_FREE_SLOT", NULL,
                            "all replication slots of the source are in use; raise "
                            "max_replication_slots and restart it, or drop an unused slot");
    }
    look_at_role(look);
    look_at_clock(look);
    findings_judge(look);
    return hf_ctx_check(look->ctx);
}

struct hf_status pgwire_source_check(struct hf_ctx *ctx,
                                     const struct pgwire_source_options *options,
                                     struct pgwire_source *ret_source)
{
    struct look look = {.ctx = ctx, .options = options};
    struct hf_status status = look_all(&look);

    pgwire_close(look.wire);
    pgwire_close(look.sql);
    HF_TRY(status);
    look.source.findings = look.findings.items;
    look.source.findings_len = look.findings.len;
    *ret_source = look.source;
    return hf_success();
}

static struct hf_status look_again(struct look *look)
{
    const struct pgwire_options options = {.dsn = look->options->dsn,
                                           .password = look->options->password,
                                           .access = look->options->access,
                                           .mode = look->options->is_wire_only ? PGWIRE_REPLICATION
                                                                               : PGWIRE_SQL,
                                           .is_primary_only = look->options->is_primary_only,
                                           .connect_timeout_ms = look->options->connect_timeout_ms};

    HF_TRY(pgwire_open(look->ctx, &options, &look->conn));
    look->sql = look->options->is_wire_only ? NULL : look->conn;
    look->source.server_version = pgwire_server_version(look->conn);
    look->source.size_bytes = -1;
    look->source.free_slots = -1;
    HF_TRY(look_at_settings(look));
    HF_TRY(look_at_walsenders(look));
    look_at_clock(look);
    findings_judge(look);
    return hf_ctx_check(look->ctx);
}

struct hf_status pgwire_source_look(struct hf_ctx *ctx, const struct pgwire_source_options *options,
                                    struct pgwire_source *ret_source)
{
    struct look look = {.ctx = ctx, .options = options};
    struct hf_status status = look_again(&look);

    pgwire_close(look.conn);
    HF_TRY(status);
    look.source.findings = look.findings.items;
    look.source.findings_len = look.findings.len;
    *ret_source = look.source;
    return hf_success();
}
