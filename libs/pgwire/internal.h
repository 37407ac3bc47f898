/* What the files of this folder share; libpq's types end here. */
#ifndef HF_PGWIRE_INTERNAL_H
#define HF_PGWIRE_INTERNAL_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "egress/egress.h"
#include "pgwire/conn.h"
#include "pgwire/dsn.h"

#define PGWIRE_MESSAGE_MAX                                                                         \
    ((size_t)2 << 20) /* a timeline's history is the largest that is asked for */
#define PGWIRE_ROWS_BYTES_MAX ((size_t)8 << 20) /* of one result */
#define PGWIRE_COMMAND_MAX ((size_t)64 << 10)
#define PGWIRE_NOTICES_MAX 4096
#define PGWIRE_RESULTS_MAX 16 /* of one command, after the one that was asked for */

/* ---- connection strings (dsn.c) ---- */

/* May a connection string that is registered now say it? */
bool pgwire_option_is_taken(const PQconninfoOption *option);
/* " keyword='value'", nothing for an empty value (dsn_mend.c). */
void pgwire_option_print(struct hf_buf *out, const char *keyword, const char *value);

/* One message of the server; bytes are borrowed until more is read. */
struct pgwire_message {
    char type;
    const uint8_t *bytes;
    size_t len;
};

/* The bytes of a connection, both ways. */
struct pgwire_wire {
    int fd;    /* libpq's */
    void *ssl; /* libpq's SSL, NULL: plain */
    uint8_t *in;
    size_t in_cap;
    size_t in_from; /* [in_from, in_len) is not taken yet */
    size_t in_len;
    size_t need; /* bytes that the next message takes, as far as known */
    size_t skip; /* bytes to come that are thrown away */
    bool is_lost;
    bool is_held; /* held was taken and is taken once more */
    struct pgwire_message held;
    struct hf_buf out;
    size_t out_from;
};

struct pgwire_conn {
    PGconn *pg; /* connects, authenticates, owns socket and TLS */
    struct pgwire_wire wire;
    enum pgwire_mode mode;
    bool is_broken; /* a call was given up half-way: the protocol state is unknown */
    bool is_idle;   /* the last command has been answered wholly */
    char *password; /* to keep it out of messages */
    char *peer;
    bool wants_authority;  /* the string names one that verifies */
    bool wants_revocation; /* and what it has revoked */
    char *socket_path;     /* NULL, or the directory as libpq knows it: /proc/self/fd/N */
    char *socket_dir;      /* and as the user does */
    struct hf_buf notices; /* warnings of the server, the first 4 KiB */
    struct hf_buf rows;    /* of the result that was taken last */
    size_t asides_bytes;   /* notices and the like since the last message that counts */
    int answer_ms;         /* time of a result; see pgwire_options */
    bool is_streaming;
    bool has_stream_end; /* the stream ended before it began */
    uint32_t stream_next_timeline;
    uint64_t stream_switch_lsn;
};

/* --- greeting.c: what libpq is about to read ------------------------------------------------- */

enum pgwire_greeting {
    PGWIRE_GREETING_FINE,
    PGWIRE_GREETING_MORE,    /* wait: libpq must not begin a message that has not come wholly */
    PGWIRE_GREETING_STRANGE, /* no PostgreSQL speaks so */
    PGWIRE_GREETING_HUGE,    /* longer than anything that is said here */
    PGWIRE_GREETING_COSTLY,  /* would hash the password too often */
    PGWIRE_GREETING_METHOD,  /* wants something else than a password */
    PGWIRE_GREETING_CLEAR,   /* would send it as it is where others may read along */
};

/* Judge what has come of authentication; is_private: a password may be said aloud (TLS, or within
 * this machine). Pure. */
enum pgwire_greeting pgwire_greeting_judge(const uint8_t *bytes, size_t len, bool is_private);
/* The same for what libpq would read now; FINE while it does not authenticate. */
enum pgwire_greeting pgwire_greeting_peek(PGconn *pg);

/* --- message.c: bytes and messages ---------------------------------------------------------- */

enum pgwire_take { PGWIRE_TAKE_MORE, PGWIRE_TAKE_ONE, PGWIRE_TAKE_STRANGE, PGWIRE_TAKE_TOO_LARGE };

/* While libpq still reads: has the server sent more than any greeting has? */
bool pgwire_socket_is_flooded(int fd);
/* How much may be under way, so that no single read of libpq takes a flood in. */
void pgwire_socket_narrow(int fd, bool is_narrow);

void pgwire_wire_init(struct pgwire_wire *wire, int fd, void *ssl);
void pgwire_wire_done(struct pgwire_wire *wire);
/* Read once, never waiting; false when nothing came (or is_lost). */
bool pgwire_wire_read(struct pgwire_wire *wire);
/* Write what is buffered, never waiting; false when some is left (or is_lost). */
bool pgwire_wire_write(struct pgwire_wire *wire);
/* The next whole message of what was read. */
enum pgwire_take pgwire_wire_take(struct pgwire_wire *wire, struct pgwire_message *ret_message);
/* The message taken last comes once more; nothing is read before that. */
void pgwire_wire_hold(struct pgwire_wire *wire, const struct pgwire_message *message);
void pgwire_wire_put(struct pgwire_wire *wire, char type, const struct hf_buf *body);

/* files.c: certificates where libpq can read them, as long as it connects. */
struct pgwire_files {
    struct hf_arena *arena;
    const char *dir; /* NULL: none was made */
    const char *ca;  /* paths; of no file where there is none */
    const char *cert;
    const char *key;
};
struct hf_status pgwire_files_make(struct hf_ctx *ctx, const struct pgwire_access *access,
                                   struct pgwire_files *ret_files) HF_MUST_USE;
void pgwire_files_remove_cleanup(struct pgwire_files *files);

/* dial.c: one try at one address or socket. */
struct pgwire_dial {
    const struct pgwire_options *options;
    const struct pgwire_dsn *dsn;
    const struct pgwire_files *files;
    const struct pgwire_host *host;
    const struct egress_address *address; /* NULL: a socket */
    int socket_dir_fd;                    /* -1: an address */
};
/* libpq, begun; never NULL. */
PGconn *pgwire_dial_begin(struct hf_ctx *ctx, const struct pgwire_dial *dial);

/* tls.c: files that the string names, and libpq passes over when it cannot read them. */
void pgwire_tls_note(const struct pgwire_dial *dial, struct pgwire_conn *conn);
/* Between two steps of libpq, before anything is said: does it verify what it was told to?
 * Errors   UNAVAILABLE TLS_FILE_UNREADABLE */
struct hf_status pgwire_tls_check(struct hf_ctx *ctx, const struct pgwire_conn *conn) HF_MUST_USE;

/* Write out what is buffered. */
struct hf_status pgwire_flush(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Wait up to timeout_ms for bytes and take them in; ret_came is false when none came. */
struct hf_status pgwire_wait_input(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                   bool *ret_came) HF_MUST_USE;
/* The next message that counts, of what was read; notices and the like are noted. */
struct hf_status pgwire_message_take(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                     struct pgwire_message *ret_message,
                                     bool *ret_is_there) HF_MUST_USE;
/* The same, waiting until until_us (hf_mono_us). */
struct hf_status pgwire_message_await(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      int64_t until_us,
                                      struct pgwire_message *ret_message) HF_MUST_USE;

/* --- answer.c: commands and results --------------------------------------------------------- */

struct pgwire_error { /* views of the message */
    struct hf_str message;
    struct hf_str detail;
    char sqlstate[6]; /* "" when there is none */
};
void pgwire_error_decode(const struct pgwire_message *message, struct pgwire_error *ret_error);

enum pgwire_result_kind {
    PGWIRE_RES_DONE, /* without rows */
    PGWIRE_RES_ROWS,
    PGWIRE_RES_COPY_OUT,
    PGWIRE_RES_COPY_BOTH,
    PGWIRE_RES_ERROR,
    PGWIRE_RES_END, /* no more results: the connection takes commands */
};

/* Cells and the error's texts are borrowed until the next result; NULL values have no ptr. */
struct pgwire_result {
    enum pgwire_result_kind kind;
    size_t rows;
    size_t columns;
    const struct hf_str *cells; /* row by row */
    struct pgwire_error error;
};
static inline struct hf_str pgwire_cell(const struct pgwire_result *result, size_t row,
                                        size_t column)
{
    return result->cells[row * result->columns + column];
}

/* A number up to max, an LSN; false on anything else. */
bool pgwire_cell_u64(struct hf_arena *arena, struct hf_str cell, uint64_t max, uint64_t *ret);
bool pgwire_cell_lsn(struct hf_arena *arena, struct hf_str cell, uint64_t *ret_lsn);

/* Send a command; the results are then taken with pgwire_result_next. */
struct hf_status pgwire_send(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                             const char *const *params, size_t params_len) HF_MUST_USE;
/* Next result, within answer_ms. Error results are returned as they are.
 * Errors   RESOURCE_EXHAUSTED ANSWER_TOO_LARGE, DATA_LOSS PROTOCOL_VIOLATION: it is then broken */
struct hf_status pgwire_result_next(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    struct pgwire_result *ret_result) HF_MUST_USE;
/* Next result, which must be of this kind. */
struct hf_status pgwire_result_expect(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      enum pgwire_result_kind kind,
                                      struct pgwire_result *ret_result) HF_MUST_USE;
/* Take results until there is no more; the first error among them is the outcome. */
struct hf_status pgwire_results_drain(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;

enum pgwire_copy { PGWIRE_COPY_IDLE, PGWIRE_COPY_DATA, PGWIRE_COPY_END };
/* What has arrived of a copy; at its END the results go on. */
struct hf_status pgwire_copy_take(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                  struct hf_bytes *ret_bytes,
                                  enum pgwire_copy *ret_copy) HF_MUST_USE;
/* Buffer our end of a copy, or data of ours; pgwire_flush sends it. */
void pgwire_copy_end(struct pgwire_conn *conn);
void pgwire_copy_put(struct pgwire_conn *conn, const void *bytes, size_t len);

/* --- errors.c ------------------------------------------------------------------------------- */

/* Text of a server or of libpq for a person: one line, valid UTF-8, without the password and
 * control characters, cut to max bytes. */
const char *pgwire_text(struct hf_arena *arena, const struct pgwire_conn *conn, struct hf_str text,
                        size_t max);
/* Failure from a SQLSTATE (may be "") and a text of server or libpq; code and reason by the table
 * in errors.c. */
struct hf_status pgwire_fail(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                             const char *sqlstate, struct hf_str text) HF_MUST_USE;
/* Failure from a result that is not the one that was expected. */
struct hf_status pgwire_fail_result(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const struct pgwire_result *result) HF_MUST_USE;
/* Failure of a connection that is gone, with the server's last words; breaks it. */
struct hf_status pgwire_fail_lost(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Failure of a connection that has been silent for too long; breaks it. */
struct hf_status pgwire_fail_silent(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Failure of connecting: SQLSTATEs are read out of libpq's verbose message. */
struct hf_status pgwire_fail_connect(struct hf_ctx *ctx,
                                     const struct pgwire_conn *conn) HF_MUST_USE;
bool pgwire_reason_is(struct hf_status status, const char *reason);

#endif
