/* Clocks, and time as text. The calendar is computed here (days since 1970 in the proleptic
 * Gregorian calendar, as in RFC 3339): the C library's would consult TZ and the locale. */
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

#define US_PER_DAY (INT64_C(86400) * HF_US_PER_S)
#define DAYS_PER_ERA INT64_C(146097)
#define MAX_SHOWN_TEXT 64

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    HF_CHECK(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * HF_US_PER_S + now.tv_nsec / 1000;
}

int64_t hf_now_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t hf_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t hf_boot_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

/* A date as numbers. */
struct date {
    int64_t year;
    int64_t month; /* 1..12 */
    int64_t day;   /* 1..31 */
};

/* Years are counted from March here, so that the leap day is the last of a year; an era is 400
 * years. 719468 days lie between 0000-03-01 and 1970-01-01. */
static int64_t days_of_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - 719468;
}

static struct date date_of_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date date = {
        .year = year_of_era + era * 400,
        .month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };

    date.year += date.month <= 2 ? 1 : 0;
    return date;
}

bool hf_time_in_range(int64_t time_us)
{
    return time_us >= HF_TIME_MIN_US && time_us <= HF_TIME_MAX_US;
}

int64_t hf_time_clamp(int64_t time_us)
{
    if (time_us < HF_TIME_MIN_US) {
        return HF_TIME_MIN_US;
    }
    return time_us > HF_TIME_MAX_US ? HF_TIME_MAX_US : time_us;
}

int64_t hf_time_of_parts(int64_t seconds, int32_t nanos)
{
    int64_t time_us = 0;

    if (__builtin_mul_overflow(seconds, HF_US_PER_S, &time_us) ||
        __builtin_add_overflow(time_us, nanos / 1000, &time_us)) {
        return seconds < 0 ? HF_TIME_MIN_US : HF_TIME_MAX_US;
    }
    return hf_time_clamp(time_us);
}

int64_t hf_us_of_seconds(double seconds)
{
    double us = seconds * (double)HF_US_PER_S;

    if (!(us > (double)HF_TIME_MIN_US)) { /* also what is no number */
        return us <= (double)HF_TIME_MIN_US ? HF_TIME_MIN_US : 0;
    }
    return us >= (double)HF_TIME_MAX_US ? HF_TIME_MAX_US : (int64_t)us;
}

char *hf_time_text(struct hf_arena *arena, int64_t time_us)
{
    time_us = hf_time_clamp(time_us);
    int64_t days = time_us / US_PER_DAY;
    int64_t rest = time_us % US_PER_DAY;

    if (rest < 0) {
        rest += US_PER_DAY;
        days--;
    }
    struct date date = date_of_days(days);
    int64_t second = rest / HF_US_PER_S;
    return hf_printf(arena,
                     "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64
                     ":%02" PRId64 ".%06" PRId64 "Z",
                     date.year, date.month, date.day, second / 3600, second / 60 % 60, second % 60,
                     rest % HF_US_PER_S);
}

/* Cursor over the text; a step that does not fit sets is_bad. */
struct scan {
    const char *at;
    bool is_bad;
};

/* Exactly count digits with a value of min..max. */
static int64_t take_digits(struct scan *scan, int count, int64_t min, int64_t max)
{
    int64_t value = 0;

    for (int i = 0; i < count && !scan->is_bad; i++) {
        if (*scan->at < '0' || *scan->at > '9') {
            scan->is_bad = true;
            return 0;
        }
        value = value * 10 + (*scan->at++ - '0');
    }
    scan->is_bad = scan->is_bad || value < min || value > max;
    return value;
}

static bool take_char(struct scan *scan, const char *one_of)
{
    if (scan->is_bad || *scan->at == '\0' || strchr(one_of, *scan->at) == NULL) {
        return false;
    }
    scan->at++;
    return true;
}

static void need_char(struct scan *scan, const char *one_of)
{
    scan->is_bad = !take_char(scan, one_of);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    struct date first = {year, month, 1};
    struct date next = {month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1};

    return days_of_date(next) - days_of_date(first);
}

static int64_t take_date_us(struct scan *scan)
{
    struct date date = {0};

    date.year = take_digits(scan, 4, 1, 9999);
    need_char(scan, "-");
    date.month = take_digits(scan, 2, 1, 12);
    need_char(scan, "-");
    date.day = take_digits(scan, 2, 1, 31);
    if (scan->is_bad) {
        return 0;
    }
    scan->is_bad = date.day > days_in_month(date.year, date.month);
    return days_of_date(date) * US_PER_DAY;
}

/* Up to 9 digits after the point; what lies below a microsecond is cut. */
static int64_t take_fraction_us(struct scan *scan)
{
    int64_t value = 0;
    int count = 0;

    while (*scan->at >= '0' && *scan->at <= '9' && count < 9) {
        value += count < 6 ? (value * 9 + (*scan->at - '0')) : 0;
        scan->at++;
        count++;
    }
    for (int i = count; i < 6; i++) {
        value *= 10;
    }
    scan->is_bad = count == 0;
    return value;
}

/* 60 is a leap second and counts as the next minute's first, as PostgreSQL takes it. */
static int64_t take_clock_us(struct scan *scan)
{
    int64_t us = take_digits(scan, 2, 0, 23) * 3600 * HF_US_PER_S;

    need_char(scan, ":");
    us += take_digits(scan, 2, 0, 59) * 60 * HF_US_PER_S;
    if (take_char(scan, ":")) {
        us += take_digits(scan, 2, 0, 60) * HF_US_PER_S;
        us += take_char(scan, ".") ? take_fraction_us(scan) : 0;
    }
    return us;
}

/* Z, +05, +05:30, +0530 or +05:30:15 (PostgreSQL prints that for old local times). */
static int64_t take_offset_us(struct scan *scan)
{
    if (take_char(scan, "Zz")) {
        return 0;
    }
    int64_t sign = *scan->at == '-' ? -1 : 1;
    need_char(scan, "+-");
    int64_t seconds = take_digits(scan, 2, 0, 15) * 3600;
    bool has_colon = take_char(scan, ":");
    if (has_colon || (*scan->at >= '0' && *scan->at <= '9')) {
        seconds += take_digits(scan, 2, 0, 59) * 60;
    }
    if (has_colon && take_char(scan, ":")) {
        seconds += take_digits(scan, 2, 0, 59);
    }
    return sign * seconds * HF_US_PER_S;
}

struct hf_status hf_time_parse(struct hf_arena *arena, const char *text, int64_t *ret_us)
{
    struct scan scan = {.at = text};
    int64_t us = take_date_us(&scan);

    need_char(&scan, "Tt ");
    us += scan.is_bad ? 0 : take_clock_us(&scan);
    if (scan.is_bad) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "\"%.*s\" is not a time: write it as \"2026-11-23 12:00:00+00\"",
                       MAX_SHOWN_TEXT, text);
    }
    while (take_char(&scan, " ")) {
    }
    if (*scan.at == '\0') {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "time \"%.*s\" has no offset from UTC: add \"Z\" or one such as \"+00\" or "
                       "\"+05:30\"",
                       MAX_SHOWN_TEXT, text);
    }
    us -= take_offset_us(&scan);
    if (scan.is_bad || *scan.at != '\0') {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "time \"%.*s\" does not end with an offset from UTC: write \"Z\" or one "
                       "such as \"+00\" or \"+05:30\"",
                       MAX_SHOWN_TEXT, text);
    }
    if (!hf_time_in_range(us)) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "time \"%.*s\" is not in the years 1 to 9999",
                       MAX_SHOWN_TEXT, text);
    }
    *ret_us = us;
    return hf_success();
}

char *hf_duration_text(struct hf_arena *arena, int64_t us)
{
    const char *sign = us < 0 ? "-" : "";
    uint64_t left = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t seconds = left / (uint64_t)HF_US_PER_S;

    if (left < 1000) {
        return hf_printf(arena, "%s%" PRIu64 "us", sign, left);
    }
    if (seconds == 0) {
        return hf_printf(arena, "%s%" PRIu64 "ms", sign, left / 1000);
    }
    if (seconds < 60) {
        return hf_printf(arena, "%s%" PRIu64 ".%" PRIu64 "s", sign, seconds, left / 100000 % 10);
    }
    if (seconds < 3600) {
        return hf_printf(arena, "%s%" PRIu64 "m %" PRIu64 "s", sign, seconds / 60, seconds % 60);
    }
    if (seconds < 86400) {
        return hf_printf(arena, "%s%" PRIu64 "h %" PRIu64 "m", sign, seconds / 3600,
                         seconds / 60 % 60);
    }
    return hf_printf(arena, "%s%" PRIu64 "d %" PRIu64 "h", sign, seconds / 86400,
                     seconds / 3600 % 24);
}
