/* What the server says while libpq still authenticates, seen before libpq reads it.
 *
 * Surprise: SCRAM lets the *server* choose how often a password is hashed, up to 2^31 times, and
 * libpq does it at once inside PQconnectPoll: a lying source held a thread for an hour, past every
 * deadline and cancellation. So the message that carries the number is peeked at. libpq may read
 * only whole messages, or a message begun early would be judged by its second half; it cannot have
 * come whole before libpq's nonce went out, because it must repeat it.
 *
 * And libpq says a password aloud to whoever asks for it: where the way is neither TLS nor within
 * this machine, whoever reads along or answers in the server's place would have it. A server waits
 * for the answer to each question, so nothing may stand behind one: there it would not be seen. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "pgwire/internal.h"

#define HEADER 5
#define PEEK_MAX 4096                   /* messages of authentication are shorter */
#define LENGTH_MAX ((uint32_t)16 << 20) /* of any message here; an error may be long */
#define AUTH_OK 0
#define AUTH_CLEARTEXT 3
#define AUTH_MD5 5
#define AUTH_SASL 10
#define AUTH_SASL_CONTINUE 11
#define AUTH_SASL_FINAL 12
#define AUTH_METHODS 13
#define ITERATIONS_MAX 500000 /* PostgreSQL's default is 4096; half a second */

/* What is answered. Not GSSAPI and SSPI (7 to 9), for which libpq takes the tickets of whoever this
 * process runs as. */
static const bool methods[AUTH_METHODS] = {
    [AUTH_OK] = true,   [AUTH_CLEARTEXT] = true,     [AUTH_MD5] = true,
    [AUTH_SASL] = true, [AUTH_SASL_CONTINUE] = true, [AUTH_SASL_FINAL] = true,
};

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

/* A whole message of authentication, and the number of bytes behind it. */
static enum pgwire_greeting demand_judge(const uint8_t *p, uint32_t length, size_t behind,
                                         bool is_private)
{
    uint32_t code = length >= 8 ? be32(p + HEADER) : AUTH_METHODS;

    if (code >= AUTH_METHODS || !methods[code]) {
        return PGWIRE_GREETING_METHOD;
    }
    if (code == AUTH_CLEARTEXT && !is_private) {
        return PGWIRE_GREETING_CLEAR;
    }
    if (code == AUTH_SASL_CONTINUE && !are_few(p + HEADER + 4, length - 8)) {
        return PGWIRE_GREETING_COSTLY;
    }
    return code == AUTH_OK || code == AUTH_SASL_FINAL || behind == 0 ? PGWIRE_GREETING_FINE
                                                                     : PGWIRE_GREETING_STRANGE;
}

/* The message at p; ret_len is its length when it is there wholly, else left. */
static enum pgwire_greeting message_judge(const uint8_t *p, size_t left, bool is_private,
                                          size_t *ret_len)
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
    return p[0] == 'R' ? demand_judge(p, length, left - *ret_len, is_private)
                       : PGWIRE_GREETING_FINE;
}

enum pgwire_greeting pgwire_greeting_judge(const uint8_t *bytes, size_t len, bool is_private)
{
    enum pgwire_greeting greeting = PGWIRE_GREETING_FINE;
    size_t taken = 0;

    for (size_t at = 0; at < len && greeting == PGWIRE_GREETING_FINE; at += taken) {
        greeting = message_judge(bytes + at, len - at, is_private, &taken);
    }
    return greeting;
}

/* Nobody reads along between here and the peer. */
static bool is_on_this_machine(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    struct egress_address address;

    if (getpeername(fd, (struct sockaddr *)(void *)&peer, &len) != 0) {
        return false;
    }
    return peer.ss_family == AF_UNIX ||
           (egress_address_of((const struct sockaddr *)(const void *)&peer, &address) &&
            egress_address_is_loopback(&address));
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
    if (len <= 0) {
        return PGWIRE_GREETING_FINE;
    }
    enum pgwire_greeting greeting =
        pgwire_greeting_judge(bytes, (size_t)len, ssl != NULL || is_on_this_machine(PQsocket(pg)));

    /* A message that is longer than what is looked at is none of authentication. */
    return len == PEEK_MAX && greeting == PGWIRE_GREETING_MORE ? PGWIRE_GREETING_STRANGE : greeting;
}
