/* Connection strings of strangers: refused with a reason, or every host of them can be named and
 * judged alone, and the string for that host alone is one again. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "pgwire/dsn.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 16 << 20, TEXT_MAX = 8192 };

static void check_hosts(struct hf_arena *arena, const char *text)
{
    struct pgwire_dsn dsn = {0};
    struct pgwire_dsn alone = {0};
    char *single = NULL;

    HF_CHECK(hf_is_ok(pgwire_dsn_parse(arena, text, &dsn)) && dsn.hosts_len > 0);
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        HF_CHECK(hf_is_ok(pgwire_dsn_single(arena, text, i, &single)));
        HF_CHECK(hf_is_ok(pgwire_dsn_check(arena, single)));
        HF_CHECK(hf_is_ok(pgwire_dsn_parse(arena, single, &alone)) && alone.hosts_len == 1);
        HF_CHECK(hf_text_equal(alone.hosts[0].host, dsn.hosts[i].host));
        HF_CHECK(hf_text_equal(alone.hosts[0].port, dsn.hosts[i].port));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);

    if (size > TEXT_MAX || !hf_is_utf8((const char *)data, size)) {
        return 0;
    }
    const char *text = hf_strndup(arena, (const char *)data, size);
    struct hf_status status = pgwire_dsn_check(arena, text);

    if (!hf_is_ok(status)) {
        HF_CHECK(status.code == HF_INVALID_ARGUMENT && status.info != NULL);
        HF_CHECK(hf_is_utf8(status.message, strlen(status.message)));
        return 0;
    }
    check_hosts(arena, text);
    return 0;
}
