/* The listener on libwebsockets: one context, one thread.
 *
 * Surprise: whether the port can be had is tried with a socket of our own first, because the
 * library says only that it failed, never why. */
#include "obs/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/pool.h"

#define MAX_CONNECTIONS 16
#define OWN_DESCRIPTORS 4 /* listener, wake-up pipe, one that is being refused, one spare */
#define MAX_HEADER_BYTES 4096
#define TIMEOUT_S 5
#define BODY_MAX_BYTES ((size_t)8 << 20)
#define CHUNK_BYTES 4096
#define CLOSE_CONNECTION (-1)

struct obs_http {
    struct lws_context *context;
    struct lws_protocols protocols[2]; /* the second is the end mark */
    struct hf_thread *thread;
    atomic_bool is_stopping;
    int port;
    struct obs *obs;
    bool (*is_ready)(void *arg, const char **ret_why);
    void *arg;
};

/* Of one request; zeroed by the library. */
struct request {
    struct hf_buf body;
    size_t sent;
    bool is_head;
};

/* What a path answers. */
struct answer {
    unsigned code;
    const char *type;
};

static struct answer answer_metrics(struct obs_http *http, struct hf_buf *body)
{
    obs_write(http->obs, body);
    return (struct answer){body->is_full ? 500 : 200, "text/plain; version=0.0.4; charset=utf-8"};
}

static struct answer answer_health(struct obs_http *http, struct hf_buf *body)
{
    (void)http;
    hf_buf_text_append(body, "ok\n");
    return (struct answer){200, "text/plain"};
}

static struct answer answer_ready(struct obs_http *http, struct hf_buf *body)
{
    const char *why = NULL;
    bool is_ready = http->is_ready == NULL || http->is_ready(http->arg, &why);

    if (is_ready) {
        hf_buf_text_append(body, "ok\n");
    } else {
        hf_buf_printf(body, "%s\n", why == NULL ? "not ready" : why);
    }
    return (struct answer){is_ready ? 200 : 503, "text/plain"};
}

static const struct {
    const char *path;
    struct answer (*fn)(struct obs_http *http, struct hf_buf *body);
} paths[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_health},
    {"/readyz", answer_ready},
};

static struct answer answer_of(struct obs_http *http, const char *path, bool is_known_method,
                               struct hf_buf *body)
{
    if (!is_known_method) {
        hf_buf_text_append(body, "only GET and HEAD\n");
        return (struct answer){405, "text/plain"};
    }
    for (size_t i = 0; i < HF_LEN(paths); i++) {
        if (strcmp(path, paths[i].path) == 0) {
            return paths[i].fn(http, body);
        }
    }
    hf_buf_text_append(body, "not found\n");
    return (struct answer){404, "text/plain"};
}

static int write_head(struct lws *wsi, struct answer answer, size_t body_len)
{
    uint8_t room[LWS_PRE + 1024];
    uint8_t *start = room + LWS_PRE;
    uint8_t *at = start;
    uint8_t *end = room + sizeof(room) - 1;

    if (lws_add_http_common_headers(wsi, answer.code, answer.type, body_len, &at, end) != 0 ||
        lws_finalize_write_http_header(wsi, start, &at, end) != 0) {
        return CLOSE_CONNECTION;
    }
    return 0;
}

static int on_request(struct obs_http *http, struct lws *wsi, struct request *request,
                      const char *path)
{
    bool is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;

    request->is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    hf_buf_done(&request->body);
    hf_buf_init(&request->body, BODY_MAX_BYTES);
    request->sent = 0;
    struct answer answer = answer_of(http, path, is_get || request->is_head, &request->body);
    if (write_head(wsi, answer, request->body.len) != 0) {
        return CLOSE_CONNECTION;
    }
    if (request->is_head) {
        return lws_http_transaction_completed(wsi) != 0 ? CLOSE_CONNECTION : 0;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_writable(struct lws *wsi, struct request *request)
{
    uint8_t room[LWS_PRE + CHUNK_BYTES];
    size_t left = request->body.len - request->sent;
    size_t len = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    bool is_last = len == left;

    if (request->body.ptr == NULL) {
        return CLOSE_CONNECTION;
    }
    memcpy(room + LWS_PRE, request->body.ptr + request->sent, len);
    request->sent += len;
    enum lws_write_protocol kind = is_last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP;
    if (lws_write(wsi, room + LWS_PRE, len, kind) < (int)len) {
        return CLOSE_CONNECTION;
    }
    if (is_last) {
        return lws_http_transaction_completed(wsi) != 0 ? CLOSE_CONNECTION : 0;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct request *request = user;
    struct obs_http *http = NULL;

    (void)len;
    if (reason == LWS_CALLBACK_HTTP) {
        http = lws_context_user(lws_get_context(wsi));
        return on_request(http, wsi, request, in);
    }
    if (reason == LWS_CALLBACK_HTTP_WRITEABLE) {
        return on_writable(wsi, request);
    }
    if (reason == LWS_CALLBACK_CLOSED_HTTP || reason == LWS_CALLBACK_HTTP_DROP_PROTOCOL) {
        if (request != NULL) {
            hf_buf_done(&request->body);
        }
        return 0;
    }
    /* Neither WebSocket nor HTTP/2 is offered. */
    bool is_upgrade = reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE ||
                      reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION;
    return is_upgrade ? CLOSE_CONNECTION : 0;
}

static struct hf_status try_port(struct hf_arena *arena, const struct obs_http_options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port)};
    const int on = 1;

    if (inet_pton(AF_INET, options->address, &address.sin_addr) != 1 || options->port < 0 ||
        options->port > 65535) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "metrics address %s:%d: expected an IPv4 address", options->address,
                       options->port);
    }
    HF_CLEANUP(hf_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0) {
        return hf_fail_errno(arena, errno, "listening for metrics on %s:%d", options->address,
                             options->port);
    }
    return hf_success();
}

static struct lws_context *context_new(struct obs_http *http,
                                       const struct obs_http_options *options)
{
    const struct lws_context_creation_info info = {
        .port = options->port,
        .iface = options->address,
        .protocols = http->protocols,
        .user = http,
        .uid = -1,
        .gid = -1,
        .options = LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE,
        .fd_limit_per_thread = MAX_CONNECTIONS + OWN_DESCRIPTORS,
        .max_http_header_data = MAX_HEADER_BYTES,
        .max_http_header_pool = MAX_CONNECTIONS,
        .timeout_secs = TIMEOUT_S,
        .keepalive_timeout = TIMEOUT_S,
    };

    return lws_create_context(&info);
}

static void serve(void *arg)
{
    struct obs_http *http = arg;

    while (!atomic_load(&http->is_stopping) && lws_service(http->context, 0) >= 0) {
    }
}

struct hf_status obs_http_start(struct hf_arena *arena, const struct obs_http_options *options,
                                struct obs_http **ret_http)
{
    HF_TRY(try_port(arena, options));
    HF_CLEANUP(obs_http_stop) struct obs_http *http = hf_heap_alloc(sizeof(*http));

    http->obs = options->obs;
    http->is_ready = options->is_ready;
    http->arg = options->arg;
    http->protocols[0].name = "http";
    http->protocols[0].callback = on_event;
    http->protocols[0].per_session_data_size = sizeof(struct request);
    lws_set_log_level(0, NULL);
    http->context = context_new(http, options);
    if (http->context == NULL) {
        return hf_fail(arena, HF_UNAVAILABLE, "listening for metrics on %s:%d", options->address,
                       options->port);
    }
    http->port = lws_get_vhost_listen_port(lws_get_vhost_by_name(http->context, "default"));
    http->thread = hf_thread_start("metrics", serve, http);
    *ret_http = HF_TAKE(http);
    return hf_success();
}

int obs_http_port(const struct obs_http *http)
{
    return http->port;
}

void obs_http_stop(struct obs_http *http)
{
    if (http == NULL) {
        return;
    }
    atomic_store(&http->is_stopping, true);
    if (http->thread != NULL) {
        lws_cancel_service(http->context);
        hf_thread_join(http->thread);
    }
    if (http->context != NULL) {
        lws_context_destroy(http->context);
    }
    hf_heap_free(http);
}
