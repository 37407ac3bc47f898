/* Lines end with CR LF, as the standard says; what a proxy before us could read in another way is
 * refused instead of repaired. */
#include "obs/request.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"

static const char end_of_head[] = "\r\n\r\n";

/* Cut the text up to mark off *rest; false when mark is not there. */
static bool take(struct hf_str *rest, const char *mark, struct hf_str *ret_part)
{
    const char *at = memmem(rest->ptr, rest->len, mark, strlen(mark));

    if (at == NULL) {
        return false;
    }
    *ret_part = (struct hf_str){rest->ptr, (size_t)(at - rest->ptr)};
    rest->ptr = at + strlen(mark);
    rest->len -= ret_part->len + strlen(mark);
    return true;
}

static bool is_name(struct hf_str text, const char *name)
{
    return text.len == strlen(name) && strncasecmp(text.ptr, name, text.len) == 0;
}

static bool is_printable(struct hf_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char byte = (unsigned char)text.ptr[i];
        if ((byte < ' ' && byte != '\t') || byte == 127) {
            return false;
        }
    }
    return true;
}

static struct hf_str trim(struct hf_str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

static bool parse_first_line(struct hf_str line, struct obs_request *request)
{
    struct hf_str method;
    struct hf_str target;
    struct hf_str before_query;

    if (!is_printable(line) || !take(&line, " ", &method) || !take(&line, " ", &target) ||
        target.len == 0 || target.ptr[0] != '/' ||
        !(hf_str_equal(line, HF_STR("HTTP/1.1")) || hf_str_equal(line, HF_STR("HTTP/1.0")))) {
        return false;
    }
    request->method = hf_str_equal(method, HF_STR("GET"))    ? OBS_GET
                      : hf_str_equal(method, HF_STR("HEAD")) ? OBS_HEAD
                                                             : OBS_OTHER_METHOD;
    request->path = take(&target, "?", &before_query) ? before_query : target;
    return true;
}

static bool parse_header(struct hf_str line, struct obs_request *request)
{
    static const char scheme[] = "bearer ";
    struct hf_str name;

    if (!is_printable(line) || !take(&line, ":", &name) || name.len == 0 ||
        memchr(name.ptr, ' ', name.len) != NULL || memchr(name.ptr, '\t', name.len) != NULL) {
        return false;
    }
    struct hf_str value = trim(line);
    if (is_name(name, "transfer-encoding") ||
        (is_name(name, "content-length") && !hf_str_equal(value, HF_STR("0")))) {
        return false;
    }
    if (is_name(name, "authorization") && value.len > strlen(scheme) &&
        strncasecmp(value.ptr, scheme, strlen(scheme)) == 0) {
        request->bearer =
            trim((struct hf_str){value.ptr + strlen(scheme), value.len - strlen(scheme)});
    }
    return true;
}

enum obs_request_state obs_request_parse(struct hf_str bytes, struct obs_request *ret_request)
{
    struct obs_request request = {0};
    struct hf_str head;
    struct hf_str line;

    if (!take(&bytes, end_of_head, &head)) {
        return OBS_REQUEST_MORE;
    }
    head.len += 2; /* each line with its end */
    if (!take(&head, "\r\n", &line) || !parse_first_line(line, &request)) {
        return OBS_REQUEST_REFUSED;
    }
    while (take(&head, "\r\n", &line)) {
        if (!parse_header(line, &request)) {
            return OBS_REQUEST_REFUSED;
        }
    }
    *ret_request = request;
    return OBS_REQUEST_WHOLE;
}
