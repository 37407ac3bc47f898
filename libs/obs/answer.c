/* A table of paths, and one way to write a reply. */
#include "obs/answer.h"

#include <string.h>

#include "base/check.h"
#include "codec/hash.h"

#define BODY_MAX_BYTES ((size_t)8 << 20)
#define PLAIN "text/plain; charset=utf-8"

struct status_line {
    int code;
    const char *reason;
    const char *extra; /* headers of this code, each with its end */
};

static const struct status_line ok = {200, "OK", ""};
static const struct status_line bad_request = {400, "Bad Request", ""};
static const struct status_line unauthorized = {401, "Unauthorized",
                                                "WWW-Authenticate: Bearer\r\n"};
static const struct status_line not_found = {404, "Not Found", ""};
static const struct status_line other_method = {405, "Method Not Allowed", "Allow: GET, HEAD\r\n"};
static const struct status_line head_too_large = {431, "Request Header Fields Too Large", ""};
static const struct status_line broken = {500, "Internal Server Error", ""};
static const struct status_line unavailable = {503, "Service Unavailable", ""};

static void put_reply(struct hf_buf *reply, const struct status_line *line, const char *type,
                      struct hf_str body, bool is_head)
{
    hf_buf_printf(reply,
                  "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                  "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                  "Connection: close\r\n\r\n",
                  line->code, line->reason, type, body.len, line->extra);
    if (!is_head) {
        hf_buf_append(reply, body.ptr, body.len);
    }
}

/* A refusal says its reason and nothing of us. */
static void put_status(struct hf_buf *reply, const struct status_line *line, bool is_head)
{
    put_reply(reply, line, PLAIN, hf_str_of(line->reason), is_head);
}

static void answer_live(const struct obs_answers *answers, bool is_head, struct hf_buf *reply)
{
    (void)answers;
    put_reply(reply, &ok, PLAIN, HF_STR("ok"), is_head);
}

static void answer_ready(const struct obs_answers *answers, bool is_head, struct hf_buf *reply)
{
    bool is_ready = answers->is_ready == NULL || answers->is_ready(answers->arg);

    put_reply(reply, is_ready ? &ok : &unavailable, PLAIN, is_ready ? HF_STR("ok") : HF_STR("no"),
              is_head);
}

static void answer_metrics(const struct obs_answers *answers, bool is_head, struct hf_buf *reply)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};

    hf_buf_init(&body, BODY_MAX_BYTES);
    obs_write(answers->obs, &body);
    if (body.is_full) {
        put_status(reply, &broken, is_head);
        return;
    }
    put_reply(reply, &ok, "text/plain; version=0.0.4; charset=utf-8",
              (struct hf_str){(const char *)body.ptr, body.len}, is_head);
}

static const struct {
    const char *path;
    void (*fn)(const struct obs_answers *answers, bool is_head, struct hf_buf *reply);
    bool is_open; /* to every peer */
} paths[] = {
    {"/livez", answer_live, true},
    {"/healthz", answer_live, true},
    {"/readyz", answer_ready, true},
    {"/metrics", answer_metrics, false},
};

static bool has_token(const struct obs_answers *answers, const struct obs_request *request)
{
    return answers->token.len > 0 && request->bearer.len == answers->token.len &&
           codec_equal(request->bearer.ptr, answers->token.ptr, answers->token.len);
}

void obs_answer(const struct obs_answers *answers, const struct obs_request *request, bool is_local,
                struct hf_buf *reply)
{
    bool is_head = request->method == OBS_HEAD;

    if (request->method == OBS_OTHER_METHOD) {
        put_status(reply, &other_method, false);
        return;
    }
    for (size_t i = 0; i < HF_LEN(paths); i++) {
        if (!hf_str_equal(request->path, hf_str_of(paths[i].path))) {
            continue;
        }
        if (paths[i].is_open || is_local || has_token(answers, request)) {
            paths[i].fn(answers, is_head, reply);
        } else {
            put_status(reply, &unauthorized, is_head);
        }
        return;
    }
    put_status(reply, &not_found, is_head);
}

void obs_answer_refusal(enum obs_refusal refusal, struct hf_buf *reply)
{
    put_status(reply, refusal == OBS_BAD_REQUEST ? &bad_request : &head_too_large, false);
}
