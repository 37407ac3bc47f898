/* Physical slots. Surprise: a replication connection can neither run SQL nor, before version 15,
 * read a slot; so each function speaks the language of the connection it is given. */
#include "pgwire/slot.h"

#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "pgformat/wal.h"
#include "pgwire/internal.h"

#define PREFIX "holdfast_"
#define HASH_DIGITS 6

struct pgwire_slot_name pgwire_slot_name(const char *cluster, const char *salt)
{
    struct pgwire_slot_name name;
    struct codec_sha256 sha;
    uint8_t hash[CODEC_SHA256_LEN];
    size_t len = sizeof(PREFIX) - 1;

    HF_CHECK(hf_is_name(cluster));
    codec_sha256_init(&sha);
    codec_sha256_add(&sha, cluster, strlen(cluster) + 1);
    codec_sha256_add(&sha, salt, strlen(salt));
    codec_sha256_end(&sha, hash);
    memcpy(name.text, PREFIX, len);
    for (const char *p = cluster; *p != '\0'; p++) {
        name.text[len++] = *p == '-' ? '_' : *p;
    }
    name.text[len++] = '_';
    for (size_t i = 0; i < HASH_DIGITS; i++) {
        name.text[len++] = "0123456789abcdef"[(hash[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15];
    }
    name.text[len] = '\0';
    return name;
}

static struct hf_status slot_create(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name)
{
    struct pgwire_rows rows;

    if (conn->mode == PGWIRE_REPLICATION) {
        return pgwire_query(ctx, conn,
                            hf_printf(ctx->arena, "CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL",
                                      pgwire_quote_name(ctx->arena, name)),
                            NULL, 0, &rows);
    }
    return pgwire_query(ctx, conn,
                        "select pg_catalog.pg_create_physical_replication_slot($1, true)", &name, 1,
                        &rows);
}

/* A slot of that name is there: whether it is one that can be used. Where it cannot be read, the
 * receiver's first START_REPLICATION tells. */
static struct hf_status existing_judge(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                       const char *name)
{
    struct pgwire_slot slot;

    if (conn->mode == PGWIRE_REPLICATION && pgwire_server_version(conn) < 150000) {
        return hf_success();
    }
    HF_TRY(pgwire_slot_read(ctx, conn, name, &slot));
    if (slot.exists && !slot.is_physical) {
        return hf_fail_info(ctx->arena, HF_ALREADY_EXISTS, "SLOT_NAME_TAKEN", NULL,
                            "a logical replication slot named %s exists already", name);
    }
    return hf_success();
}

struct hf_status pgwire_slot_make(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                  bool *ret_made)
{
    struct hf_status status = slot_create(ctx, conn, name);

    if (pgwire_reason_is(status, "SLOT_EXISTS")) {
        HF_TRY(existing_judge(ctx, conn, name));
        *ret_made = false;
        return hf_success();
    }
    HF_TRY(status);
    *ret_made = true;
    return hf_success();
}

struct hf_status pgwire_slot_drop(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name)
{
    struct pgwire_rows rows;
    struct hf_status status;

    if (conn->mode == PGWIRE_REPLICATION) {
        status = pgwire_query(
            ctx, conn,
            hf_printf(ctx->arena, "DROP_REPLICATION_SLOT %s", pgwire_quote_name(ctx->arena, name)),
            NULL, 0, &rows);
    } else {
        status = pgwire_query(ctx, conn, "select pg_catalog.pg_drop_replication_slot($1)", &name, 1,
                              &rows);
    }
    return pgwire_reason_is(status, "SLOT_NOT_FOUND") ? hf_success() : status;
}

static enum pgwire_slot_wal wal_parse(const char *text)
{
    static const struct {
        const char *text;
        enum pgwire_slot_wal wal;
    } states[] = {{"reserved", PGWIRE_SLOT_RESERVED},
                  {"extended", PGWIRE_SLOT_EXTENDED},
                  {"unreserved", PGWIRE_SLOT_UNRESERVED},
                  {"lost", PGWIRE_SLOT_LOST}};

    for (size_t i = 0; i < HF_LEN(states); i++) {
        if (hf_text_equal(text, states[i].text)) {
            return states[i].wal;
        }
    }
    return PGWIRE_SLOT_WAL_UNKNOWN;
}

/* Number of a value that may be NULL. */
static int64_t number_or(const char *text, int64_t otherwise)
{
    int64_t value;

    return text != NULL && hf_parse_i64(text, &value) ? value : otherwise;
}

static uint64_t lsn_or_none(const char *text)
{
    uint64_t lsn = 0;

    return text != NULL && pgf_lsn_parse(text, &lsn) && lsn <= PGWIRE_LSN_MAX ? lsn : 0;
}

static struct hf_status read_by_sql(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                    struct pgwire_slot *slot)
{
    struct pgwire_rows rows;
    const char *lsn;

    HF_TRY(pgwire_query(ctx, conn,
                        "select slot_type, active, active_pid, restart_lsn, wal_status, "
                        "safe_wal_size from pg_catalog.pg_replication_slots where slot_name = $1",
                        &name, 1, &rows));
    if (rows.rows == 0) {
        return hf_success();
    }
    lsn = pgwire_value(&rows, 0, 3);
    slot->exists = true;
    slot->is_physical = hf_text_equal(pgwire_value(&rows, 0, 0), "physical");
    slot->is_active = hf_text_equal(pgwire_value(&rows, 0, 1), "t");
    slot->active_pid = (int)number_or(pgwire_value(&rows, 0, 2), 0);
    slot->restart_lsn = lsn_or_none(lsn);
    slot->wal = wal_parse(pgwire_value(&rows, 0, 4));
    slot->safe_wal_bytes = number_or(pgwire_value(&rows, 0, 5), -1);
    return hf_success();
}

static struct hf_status read_by_command(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                        const char *name, struct pgwire_slot *slot)
{
    struct pgwire_rows rows;
    struct hf_status status;
    const char *lsn;

    if (pgwire_server_version(conn) < 150000) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "a server before version 15 shows slots to SQL connections only");
    }
    status = pgwire_query(
        ctx, conn,
        hf_printf(ctx->arena, "READ_REPLICATION_SLOT %s", pgwire_quote_name(ctx->arena, name)),
        NULL, 0, &rows);
    if (pgwire_reason_is(status, "NOT_SUPPORTED")) {
        slot->exists = true; /* and is a logical one, which this command refuses */
        return hf_success();
    }
    HF_TRY(status);
    if (rows.rows == 0 || rows.columns < 3 || pgwire_value(&rows, 0, 0) == NULL) {
        return hf_success();
    }
    lsn = pgwire_value(&rows, 0, 1);
    slot->exists = true;
    slot->is_physical = hf_text_equal(pgwire_value(&rows, 0, 0), "physical");
    slot->restart_lsn = lsn_or_none(lsn);
    return hf_success();
}

struct hf_status pgwire_slot_read(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                  struct pgwire_slot *ret_slot)
{
    struct pgwire_slot slot = {.safe_wal_bytes = -1};

    HF_TRY(conn->mode == PGWIRE_SQL ? read_by_sql(ctx, conn, name, &slot)
                                    : read_by_command(ctx, conn, name, &slot));
    *ret_slot = slot;
    return hf_success();
}

struct hf_status pgwire_slot_advance(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *name,
                                     uint64_t lsn)
{
    static const char sql[] =
        "select pg_catalog.pg_replication_slot_advance($1, least($2::pg_catalog.pg_lsn, "
        "case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() "
        "else pg_catalog.pg_current_wal_flush_lsn() end)) "
        "from pg_catalog.pg_replication_slots where slot_name = $1 and restart_lsn < $2::pg_lsn";
    struct pgf_lsn_text text = pgf_lsn(lsn);
    const char *const params[] = {name, text.text};
    struct pgwire_slot slot;
    struct pgwire_rows rows;

    HF_CHECK(conn->mode == PGWIRE_SQL);
    HF_TRY(pgwire_slot_read(ctx, conn, name, &slot));
    if (!slot.exists) {
        const char *const metadata[] = {"slot", name, NULL};

        return hf_fail_info(ctx->arena, HF_NOT_FOUND, "SLOT_NOT_FOUND", metadata,
                            "replication slot %s does not exist", name);
    }
    return pgwire_query(ctx, conn, sql, params, 2, &rows);
}
