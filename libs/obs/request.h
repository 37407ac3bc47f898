/* The head of an HTTP/1 request, as far as probes and scrapers go. Pure. */
#ifndef HF_OBS_REQUEST_H
#define HF_OBS_REQUEST_H

#include <stdbool.h>

#include "base/str.h"

enum obs_request_state {
    OBS_REQUEST_MORE,    /* the head is not whole */
    OBS_REQUEST_WHOLE,   /* it can be answered */
    OBS_REQUEST_REFUSED, /* not HTTP/1, a header that is none, or with a body */
};
enum obs_method { OBS_GET, OBS_HEAD, OBS_OTHER_METHOD };

/* Views into the bytes that were parsed. */
struct obs_request {
    enum obs_method method;
    struct hf_str path;   /* without the query */
    struct hf_str bearer; /* of Authorization; empty: none */
};

/* ret_request is set when the head is whole. */
enum obs_request_state obs_request_parse(struct hf_str bytes, struct obs_request *ret_request);

#endif
