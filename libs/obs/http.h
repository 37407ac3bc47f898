/* A small HTTP listener for GET and HEAD of /metrics, /healthz and /readyz.
 *
 * One thread, no request body, no upgrade, headers of at most 4 KiB, at most 16 connections at
 * once and 5 s each: a scraper or a probe needs no more, and what it cannot do cannot be abused.
 * The library behind it (libwebsockets) is not visible here.
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
    struct obs *obs;     /* outlives the listener */
    /* NULL (always ready), or asked for /readyz in the listener's thread; must not block. False:
     * 503 with *ret_why (static text), or "not ready" when that stays NULL. */
    bool (*is_ready)(void *arg, const char **ret_why);
    void *arg;
};

/* Listen and start the thread.
 * Errors   INVALID_ARGUMENT the address; ALREADY_EXISTS the port is taken; PERMISSION_DENIED */
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
