/* The head of an HTTP request, and the reply to it: what is taken lies within the bytes that came,
 * a head is never taken as whole before its end, and a stranger gets no metrics. */
#include <string.h>

#include "base/check.h"
#include "obs/answer.h"
#include "tests/fuzz/fuzz.h"

static bool is_inside(struct hf_str part, struct hf_str whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct obs_answers answers = {.token = HF_STR("0123456789abcdef")};
    const struct hf_str bytes = {(const char *)data, size};
    HF_CLEANUP(hf_buf_done) struct hf_buf reply = {0};
    struct obs_request request;

    if (size > 4096 || obs_request_parse(bytes, &request) != OBS_REQUEST_WHOLE) {
        return 0;
    }
    HF_CHECK(memmem(data, size, "\r\n\r\n", 4) != NULL);
    HF_CHECK(is_inside(request.path, bytes) && is_inside(request.bearer, bytes));
    HF_CHECK(request.path.len > 0 && request.path.ptr[0] == '/');
    request.bearer.len = 0; /* no token: the path alone opens nothing */
    hf_buf_init(&reply, 65536);
    obs_answer(&answers, &request, false, &reply);
    HF_CHECK(!reply.is_full && strstr(hf_buf_text(&reply), "version=0.0.4") == NULL);
    return 0;
}
