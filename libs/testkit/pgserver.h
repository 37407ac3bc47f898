/* A private PostgreSQL 15 for a test: own directory under /tmp, own socket, own loopback port.
 * Runs as the user postgres when the test runs as root. Failures fail the test (abort). */
#ifndef HF_TESTKIT_PGSERVER_H
#define HF_TESTKIT_PGSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

struct pgserver;

struct pgserver_options {
    const char *const *settings; /* "wal_level = replica" …, NULL-terminated; NULL: none */
    const char *const *initdb;   /* more arguments of initdb, NULL-terminated; NULL: none */
    const char *bin;             /* initdb and postgres of another version; NULL: Debian's 15 */
    bool needs_password;         /* scram over TCP; the superuser postgres gets "secret" */
};

/* Debian's PostgreSQL 15 is there (else a test skips itself). */
bool pgserver_is_available(void);

/* initdb (with checksums, fsync off) and start. wal_level replica, 10 walsenders and slots unless
 * settings say otherwise. */
struct pgserver *pgserver_new(const struct pgserver_options *options);
/* Take over an existing directory (a restored one, a copy): start it under a fresh port. The
 * directory is chowned to the server's user; it is not removed by free. */
struct pgserver *pgserver_open(const char *data_directory, const char *const *settings);
/* A standby of primary by pg_basebackup, started, streaming. */
struct pgserver *pgserver_standby(struct pgserver *primary);
/* Stop, remove what was made. Accepts NULL. */
void pgserver_free(struct pgserver *server);

HF_DEFINE_CLEANUP(struct pgserver *, pgserver_free)

void pgserver_stop(struct pgserver *server);  /* fast shutdown, waits */
void pgserver_crash(struct pgserver *server); /* kill -9 of the postmaster's tree, waits */
void pgserver_start(struct pgserver *server); /* after stop or crash; waits until it accepts */
void pgserver_promote(struct pgserver *server);

const char *pgserver_data(const struct pgserver *server);   /* data directory */
const char *pgserver_root(const struct pgserver *server);   /* its parent: room for test files */
const char *pgserver_socket(const struct pgserver *server); /* socket directory */
int pgserver_port(const struct pgserver *server);
int64_t pgserver_pid(const struct pgserver *server); /* of the postmaster */
/* "host=127.0.0.1 port=N user=postgres dbname=postgres"; lives with the server. */
const char *pgserver_dsn(const struct pgserver *server);

/* Run SQL as superuser over the socket, by psql -At: returns what it prints without the last
 * newline (columns parted by "|"), valid until the next call on this server. Aborts on an error. */
const char *pgserver_sql(struct pgserver *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Run a program as the server's user and wait; argv[0] without a slash is taken from PostgreSQL's
 * bin directory. Standard output (up to 64 MiB) goes to *ret_out when not NULL (free with
 * hf_heap_free). Returns the exit status, 128 + signal when killed. */
int pgserver_run(const struct pgserver *server, const char *const argv[], char **ret_out);

#endif
