/* A private Redis 7 for a test: Unix socket in its own directory under /tmp, nothing on disk.
 * Failures fail the test (abort). */
#ifndef HF_TESTKIT_REDISSERVER_H
#define HF_TESTKIT_REDISSERVER_H

#include <stdbool.h>

#include "base/cleanup.h"

struct redisserver;

/* redis-server is installed (else a test skips itself). */
bool redisserver_is_available(void);
/* Start and wait until it accepts. */
struct redisserver *redisserver_new(void);
/* Stop, remove what was made. Accepts NULL. */
void redisserver_free(struct redisserver *server);
HF_DEFINE_CLEANUP(struct redisserver *, redisserver_free)

void redisserver_kill(struct redisserver *server);  /* kill -9, if it runs: all is lost */
void redisserver_start(struct redisserver *server); /* after kill */
/* Run one command ("FLUSHALL"); arguments without blanks. Aborts unless it is answered. */
void redisserver_command(struct redisserver *server, const char *command);
/* Is there such a key? */
bool redisserver_has(struct redisserver *server, const char *key);

const char *redisserver_address(const struct redisserver *server); /* path of the socket */

#endif
