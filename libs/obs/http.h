/* A small HTTP listener for GET and HEAD of /livez (also /healthz), /readyz and /metrics.
 *
 * The probes say "ok" or "no" to everybody and nothing else. /metrics shows names of clusters: it
 * is for peers on loopback, or for those that bring the token ("Authorization: Bearer …").
 *
 * One thread, no request body, no second request on a connection, heads of at most 4 KiB. A peer
 * has 2 s for its request and 5 s to take the answer. At most 256 connections, 64 of one address:
 * beyond that the oldest one is cut, not the newest refused, so that a probe, which is quick, is
 * answered while any number of others do nothing.
 */
#ifndef HF_OBS_HTTP_H
#define HF_OBS_HTTP_H

#include <stdbool.h>

#include "base/status.h"
#include "obs/metrics.h"

struct obs_http;

struct obs_http_options {
    const char *address; /* IPv4 address; "127.0.0.1" unless a pod needs "0.0.0.0" */
    int port;            /* 0: the kernel chooses, see obs_http_port */
    const char *token;   /* for /metrics from elsewhere; NULL: loopback only */
    struct obs *obs;     /* outlives the listener */
    /* NULL (always ready), or asked for /readyz in the listener's thread; must not block. */
    bool (*is_ready)(void *arg);
    void *arg;
};

/* Listen and start the thread.
 * Errors   INVALID_ARGUMENT the address; FAILED_PRECONDITION an address beyond loopback without a
 *          token; ALREADY_EXISTS the port is taken; PERMISSION_DENIED */
struct hf_status obs_http_start(struct hf_arena *arena, const struct obs_http_options *options,
                                struct obs_http **ret_http) HF_MUST_USE;
int obs_http_port(const struct obs_http *http);
void obs_http_stop(struct obs_http *http); /* accepts NULL; frees it */

static inline void obs_http_stop_cleanup(struct obs_http **http)
{
    obs_http_stop(*http);
    *http = NULL;
}

#endif
