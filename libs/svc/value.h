/* Inside svc only: the text form of each field type, both ways. Pure. */
#ifndef HF_SVC_VALUE_H
#define HF_SVC_VALUE_H

#include "svc/config.h"

/* Parse text as field's type, check its limits and store it into the member of config. False, and
 * nothing stored, when it does not fit: svc_value_expected says what would. */
bool svc_value_store(struct hf_arena *arena, const struct svc_field *field, const char *text,
                     void *config);

/* "a number from 1 to 64", "a time span such as 30s, from 1s to 1h". */
const char *svc_value_expected(struct hf_arena *arena, const struct svc_field *field);

/* "TEXT", "N", "SIZE", "TIME", or "" for SVC_BOOL. */
const char *svc_value_placeholder(enum svc_type type);

#endif
