/* What the server says while libpq still authenticates, seen before libpq reads it.
 *
 * Surprise: SCRAM lets the *server* choose how often a password is hashed, up to 2^31 times, and
 * libpq does it at once inside PQconnectPoll: a lying source held a thread for an hour, past every
 * deadline and cancellation. So the message that carries the number is peeked at. libpq may read
 * only whole messages, or a message begun early would be judged by its second half; it cannot have
 * come whole before libpq's nonce went out, because it must repeat it. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "pgwire/internal.h"

#define HEADER 5
#define PEEK_MAX 4096                   /* messages of authentication are shorter */
#define LENGTH_MAX ((uint32_t)16 << 20) /* of any message here; an error may be long */
#define AUTH_SASL_CONTINUE 11
#define ITERATIONS_MAX 500000 /* PostgreSQL's default is 4096; half a second */

static uint32_t be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

/* The number behind the last ",i=" of server-first is at most ITERATIONS_MAX. What is no number is
 * libpq's to refuse. */
static bool are_few(const uint8_t *text, size_t len)
{
    uint64_t count = 0;
    size_t from = len;

    for (size_t i = 0; i + 3 <= len; i++) {
        if (memcmp(text + i, ",i=", 3) == 0) {
            from = i + 3;
        }
    }
    for (size_t i = from; i < len && count <= ITERATIONS_MAX; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            count = count * 10 + (uint64_t)(text[i] - '0');
        }
    }
    return count <= ITERATIONS_MAX;
}

/* The message at p; ret_len is its length when it is there wholly, else left. */
static enum pgwire_greeting message_judge(const uint8_t *p, size_t left, size_t *ret_len)
{
    uint32_t length;

    *ret_len = left;
    if (memchr("RESKZNv", p[0], 7) == NULL) {
        return PGWIRE_GREETING_STRANGE;
    }
    if (left < HEADER) {
        return PGWIRE_GREETING_MORE;
    }
    length = be32(p + 1);
    if (length < 4) {
        return PGWIRE_GREETING_STRANGE;
    }
    if (length > LENGTH_MAX) {
        return PGWIRE_GREETING_HUGE;
    }
    if (left <= length) {
        return p[0] == 'R' ? PGWIRE_GREETING_MORE : PGWIRE_GREETING_FINE;
    }
    *ret_len = 1 + (size_t)length;
    if (p[0] == 'R' && length >= 8 && be32(p + HEADER) == AUTH_SASL_CONTINUE) {
        return are_few(p + HEADER + 4, length - 8) ? PGWIRE_GREETING_FINE : PGWIRE_GREETING_COSTLY;
    }
    return PGWIRE_GREETING_FINE;
}

enum pgwire_greeting pgwire_greeting_judge(const uint8_t *bytes, size_t len)
{
    enum pgwire_greeting greeting = PGWIRE_GREETING_FINE;
    size_t taken = 0;

    for (size_t at = 0; at < len && greeting == PGWIRE_GREETING_FINE; at += taken) {
        greeting = message_judge(bytes + at, len - at, &taken);
    }
    return greeting;
}

enum pgwire_greeting pgwire_greeting_peek(PGconn *pg)
{
    SSL *ssl = PQsslStruct(pg, "OpenSSL");
    uint8_t bytes[PEEK_MAX];
    ssize_t len;

    if (PQstatus(pg) != CONNECTION_AWAITING_RESPONSE) {
        return PGWIRE_GREETING_FINE;
    }
    if (ssl == NULL) {
        len = recv(PQsocket(pg), bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    } else {
        ERR_clear_error();
        len = SSL_peek(ssl, bytes, sizeof(bytes));
        if (len <= 0 && SSL_get_error(ssl, (int)len) == SSL_ERROR_WANT_READ) {
            return PGWIRE_GREETING_MORE;
        }
    }
    /* A message that is longer than what is looked at is none of authentication. */
    if (len == PEEK_MAX && pgwire_greeting_judge(bytes, PEEK_MAX) == PGWIRE_GREETING_MORE) {
        return PGWIRE_GREETING_STRANGE;
    }
    return len > 0 ? pgwire_greeting_judge(bytes, (size_t)len) : PGWIRE_GREETING_FINE;
}
