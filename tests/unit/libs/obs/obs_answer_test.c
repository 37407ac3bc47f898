/* Requests as bytes, and who gets what. */
#include <string.h>

#include "base/check.h"
#include "obs/answer.h"
#include "tests/unit/unit.h"

#define TOKEN "0123456789abcdef"

static void test_request__is_refused_when_it_could_be_read_in_two_ways(void **state)
{
    static const struct {
        const char *bytes;
        enum obs_request_state state;
    } rows[] = {
        {"", OBS_REQUEST_MORE},
        {"GET /livez HTTP/1.1\r\n", OBS_REQUEST_MORE},
        {"GET /livez HTTP/1.1\r\n\r\n", OBS_REQUEST_WHOLE},
        {"GET /livez HTTP/1.0\r\nHost: a\r\n\r\n", OBS_REQUEST_WHOLE},
        {"GET /livez HTTP/1.1\r\nContent-Length: 0\r\n\r\n", OBS_REQUEST_WHOLE},
        {"GET /livez HTTP/2.0\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET  /livez HTTP/1.1\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET http://x/livez HTTP/1.1\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nContent-Length: 00\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nA : b\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\n: b\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nnothing\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\n folded: x\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /livez HTTP/1.1\r\nA: b\nB: c\r\n\r\n", OBS_REQUEST_REFUSED},
        {"GET /li\001vez HTTP/1.1\r\n\r\n", OBS_REQUEST_REFUSED},
        {"\r\n\r\n", OBS_REQUEST_REFUSED},
    };
    size_t wrong = 0;

    (void)state;
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        struct obs_request request;
        if (obs_request_parse(hf_str_of(rows[i].bytes), &request) != rows[i].state) {
            print_error("wrong: %s\n", rows[i].bytes);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_request__splits_path_and_bearer(void **state)
{
    struct obs_request request;

    (void)state;
    assert_int_equal(
        obs_request_parse(
            HF_STR("HEAD /metrics?a=b HTTP/1.1\r\nAUTHORIZATION:bearer  abc \r\n\r\n"), &request),
        OBS_REQUEST_WHOLE);
    assert_int_equal(request.method, OBS_HEAD);
    assert_true(hf_str_equal(request.path, HF_STR("/metrics")));
    assert_true(hf_str_equal(request.bearer, HF_STR("abc")));
    assert_int_equal(
        obs_request_parse(HF_STR("get / HTTP/1.1\r\nAuthorization: Basic x\r\n\r\n"), &request),
        OBS_REQUEST_WHOLE);
    assert_int_equal(request.method, OBS_OTHER_METHOD);
    assert_int_equal(request.bearer.len, 0);
}

static void test_answer__metrics_are_for_loopback_or_the_token(void **state)
{
    static const struct {
        const char *path;
        const char *token; /* of the listener */
        const char *bearer;
        bool is_local;
        const char *code;
    } rows[] = {
        {"/metrics", TOKEN, "", true, "200"},
        {"/metrics", NULL, "", true, "200"},
        {"/metrics", TOKEN, TOKEN, false, "200"},
        {"/metrics", TOKEN, "", false, "401"},
        {"/metrics", TOKEN, "0123456789abcdeF", false, "401"},
        {"/metrics", TOKEN, "0123456789abcde", false, "401"},
        {"/metrics", TOKEN, TOKEN "0", false, "401"},
        {"/metrics", NULL, "", false, "401"},
        {"/metrics", NULL, TOKEN, false, "401"},
        {"/livez", NULL, "", false, "200"},
        {"/readyz", NULL, "", false, "200"},
        {"/", NULL, "", false, "404"},
    };
    struct obs *obs = obs_new(NULL, 0);

    (void)state;
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf reply = {0};
        const struct obs_answers answers = {
            .obs = obs,
            .token = rows[i].token == NULL ? (struct hf_str){NULL, 0} : hf_str_of(rows[i].token)};
        const struct obs_request request = {OBS_GET, hf_str_of(rows[i].path),
                                            hf_str_of(rows[i].bearer)};

        hf_buf_init(&reply, 1 << 20);
        obs_answer(&answers, &request, rows[i].is_local, &reply);
        if (strncmp(hf_buf_text(&reply) + 9, rows[i].code, 3) != 0) {
            fail_msg("row %zu: %s", i, hf_buf_text(&reply));
        }
    }
    obs_free(obs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request__is_refused_when_it_could_be_read_in_two_ways),
        cmocka_unit_test(test_request__splits_path_and_bearer),
        cmocka_unit_test(test_answer__metrics_are_for_loopback_or_the_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
