/* Clocks and time text. Time is int64_t microseconds since 1970-01-01 UTC unless named mono. */
#ifndef HF_BASE_CLOCK_H
#define HF_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

#define HF_US_PER_S INT64_C(1000000)
/* PostgreSQL counts from 2000-01-01 UTC (src/include/datatype/timestamp.h). */
#define HF_PG_EPOCH_US INT64_C(946684800000000)

int64_t hf_now_us(void);  /* CLOCK_REALTIME */
int64_t hf_mono_us(void); /* CLOCK_MONOTONIC */
int64_t hf_boot_us(void); /* CLOCK_BOOTTIME: goes on during suspend; for leases */

/* Years 1..9999: what RFC 3339 and google.protobuf.Timestamp can say. Ask before a time of a
 * stranger is stored or sent. Pure. */
#define HF_TIME_MIN_US (INT64_C(-62135596800) * HF_US_PER_S)
#define HF_TIME_MAX_US (INT64_C(253402300800) * HF_US_PER_S - 1)
bool hf_time_in_range(int64_t time_us);
/* The nearest time in that range. Pure. */
int64_t hf_time_clamp(int64_t time_us);
/* Numbers of strangers as µs, the nearest in range: a google.protobuf.Timestamp's parts, and
 * seconds as a fraction (no number at all: 0). Pure. */
int64_t hf_time_of_parts(int64_t seconds, int32_t nanos);
int64_t hf_us_of_seconds(double seconds);

/* "2026-11-24T03:48:00.123456Z" (RFC 3339, UTC). Any time: outside the range the nearer end. */
char *hf_time_text(struct hf_arena *arena, int64_t time_us);

/* RFC 3339 or PostgreSQL's form with a mandatory offset ("2026-11-23 12:00:00+00", "…Z",
 * "…+05:30"). INVALID_ARGUMENT names what is missing. Pure. */
struct hf_status hf_time_parse(struct hf_arena *arena, const char *text,
                               int64_t *ret_us) HF_MUST_USE;

/* "1h 2m", "3.4s", "12ms". */
char *hf_duration_text(struct hf_arena *arena, int64_t us);

#endif
