/* A private server with database holdfast: bootstrapped, migrated (platform, jobs in schema
 * backup), two tenants, a pool per role. Failures abort. */
#ifndef HF_TESTS_STATE_DB_H
#define HF_TESTS_STATE_DB_H

#include "base/ctx.h"
#include "db/db.h"
#include "testkit/pgserver.h"

struct state_db {
    struct pgserver *server;
    struct hf_arena *arena; /* of the fixture: the texts below */
    const char *migrate_conninfo;
    const char *app_conninfo;
    const char *dispatch_conninfo;
    const char *super_conninfo;
    struct db *app;
    struct db *dispatch;
    struct db *owner;
    const char *tenant; /* "default" */
    const char *other;  /* "other" */
};

struct state_db *state_db_new(void);
void state_db_free(struct state_db *state);
/* SQL as the superuser in database holdfast, which sees all tenants; first value as text, valid
 * until the next call. */
const char *state_db_sql(struct state_db *state, const char *sql);
int64_t state_db_count(struct state_db *state, const char *sql);
/* Until the server accepts after a crash (its recovery goes on behind the socket). */
void state_db_wait(struct state_db *state);
/* Abort with the message unless OK. */
void must(struct hf_status status);
/* hf_mono_us() scale. */
int64_t in_ms(int ms);
void pause_ms(int ms);

#endif
