/* A configuration file of any bytes fills the struct or is refused with a message. */
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "svc/config.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 32 << 20, MAX_WORKERS = 64 };

struct settings {
    const char *listen;
    int64_t workers;
    int64_t cache_bytes;
    int64_t beat_us;
    bool is_strict;
};

static const struct svc_field fields[] = {
    {.key = "api.listen",
     .type = SVC_TEXT,
     .offset = offsetof(struct settings, listen),
     .fallback = "127.0.0.1:1",
     .min = 1,
     .max = 40,
     .help = "address"},
    {.key = "workers",
     .type = SVC_INT,
     .offset = offsetof(struct settings, workers),
     .fallback = "4",
     .min = 1,
     .max = MAX_WORKERS,
     .help = "threads"},
    {.key = "cache.size",
     .type = SVC_SIZE,
     .offset = offsetof(struct settings, cache_bytes),
     .fallback = "64MiB",
     .min = 4096,
     .max = INT64_MAX,
     .help = "room"},
    {.key = "beat",
     .type = SVC_DURATION,
     .offset = offsetof(struct settings, beat_us),
     .fallback = "5s",
     .help = "time"},
    {.key = "strict",
     .type = SVC_BOOL,
     .offset = offsetof(struct settings, is_strict),
     .fallback = "false",
     .help = "refuse more"},
};

static const struct svc_program program = {"fuzz", "a target", "1", fields, HF_LEN(fields)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_str yaml = {(const char *)data, size};
    struct settings settings = {0};
    struct hf_status status = svc_config_parse(arena, &program, yaml, "fuzz.yaml", &settings);

    if (hf_is_ok(status)) {
        HF_CHECK(settings.workers >= 1 && settings.workers <= MAX_WORKERS);
        HF_CHECK(strlen(settings.listen) >= 1 && strlen(settings.listen) <= 40);
        HF_CHECK(settings.cache_bytes >= 4096);
    } else {
        HF_CHECK(status.message != NULL);
    }
    return 0;
}
