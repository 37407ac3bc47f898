/* What a request is answered with. Inside libs/obs. */
#ifndef HF_OBS_ANSWER_H
#define HF_OBS_ANSWER_H

#include "obs/http.h"
#include "obs/request.h"

struct obs_answers {
    struct obs *obs;
    struct hf_str token; /* empty: none */
    bool (*is_ready)(void *arg);
    void *arg;
};

enum obs_refusal { OBS_BAD_REQUEST, OBS_HEAD_TOO_LARGE };

/* Append the whole reply, head and body. is_local: the peer is on loopback. */
void obs_answer(const struct obs_answers *answers, const struct obs_request *request, bool is_local,
                struct hf_buf *reply);
void obs_answer_refusal(enum obs_refusal refusal, struct hf_buf *reply);

#endif
