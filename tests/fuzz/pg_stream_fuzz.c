/* A server's answers to START_REPLICATION, the stream, its end, TIMELINE_HISTORY and a query:
 * events and rows within their bounds, or a failure. The first byte chooses. */
#include <string.h>

#include "pgwire/walstream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pg_wire.h"

enum { EVENTS_MAX = 100000, HISTORY_MAX = 1 << 20 };

static struct hf_status stream(struct fuzz_server *server)
{
    struct pgwire_wal_event event = {.kind = PGWIRE_WAL_IDLE};

    HF_TRY(pgwire_wal_start(&server->ctx, &server->conn, "slot", 1 << 24, 1));
    for (int i = 0; i < EVENTS_MAX && event.kind != PGWIRE_WAL_END_OF_TIMELINE; i++) {
        HF_TRY(pgwire_wal_next(&server->ctx, &server->conn, 0, &event));
        HF_CHECK(event.kind != PGWIRE_WAL_DATA ||
                 (event.bytes.len > 0 && event.bytes.len < PGWIRE_MESSAGE_MAX));
    }
    return pgwire_wal_stop(&server->ctx, &server->conn);
}

static struct hf_status history(struct fuzz_server *server)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};

    hf_buf_init(&out, HISTORY_MAX);
    return pgwire_timeline_history(&server->ctx, &server->conn, 2, &out);
}

static struct hf_status ask(struct fuzz_server *server)
{
    struct pgwire_rows rows;

    HF_TRY(pgwire_query(&server->ctx, &server->conn, "SHOW x", NULL, 0, &rows));
    for (size_t i = 0; i < rows.rows * rows.columns; i++) {
        HF_CHECK(rows.values[i] == NULL || strlen(rows.values[i]) < PGWIRE_MESSAGE_MAX);
    }
    return hf_success();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_server server;

    if (size == 0 || !fuzz_server_open(&server, data + 1, size - 1)) {
        return 0;
    }
    switch (data[0] % 4) {
    case 0:
        fuzz_check_status(history(&server));
        break;
    case 1:
        fuzz_check_status(ask(&server));
        break;
    default:
        fuzz_check_status(stream(&server));
        break;
    }
    fuzz_server_close(&server);
    return 0;
}
