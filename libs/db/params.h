/* Bound parameters in libpq's form. Inside libs/db only. */
#ifndef HF_DB_PARAMS_H
#define HF_DB_PARAMS_H

#include "db/db.h"

#define DB_PARAMS_MAX 64

struct db_wire {
    int len;
    unsigned types[DB_PARAMS_MAX]; /* 0: the statement says */
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX];
    int formats[DB_PARAMS_MAX];
};

/* Texts are borrowed, the rest is made in arena. INVALID_ARGUMENT when too large. */
struct hf_status db_params_encode(struct hf_arena *arena, const struct db_param *params,
                                  size_t params_len, struct db_wire *ret_wire) HF_MUST_USE;

#endif
