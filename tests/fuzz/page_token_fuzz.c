/* A page token that the service did not give is refused, whatever it looks like; also one of its
 * own that was changed. The first byte chooses: a text of the input, or a real token with one
 * place of it changed. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "svc/page.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 4 << 20, TEXT_MAX = 4096 };

static struct secret_key *make_key(struct hf_ctx *ctx)
{
    char folder[] = "/tmp/hf-fuzz-XXXXXX";
    struct secret_key *key = NULL;

    HF_CHECK(mkdtemp(folder) != NULL);
    const char *path = hf_printf(ctx->arena, "%s/key", folder);

    HF_CHECK(hf_is_ok(secret_key_create(ctx, path)));
    HF_CHECK(hf_is_ok(secret_key_load(ctx, path, &key)));
    HF_CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct svc_page_request list = {.method = "ListBackups",
                                                 .parent = "tenants/default/clusters/orders"};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_ctx ctx = {.arena = arena};
    struct svc_page_request want = list;
    struct svc_page page;
    char *token = NULL;

    if (size < 3 || size > TEXT_MAX) {
        return 0;
    }
    HF_CLEANUP(secret_key_free) struct secret_key *key = make_key(&ctx);

    HF_CHECK(hf_is_ok(svc_page_next(&ctx, key, &list, "b20261123t120000-000000", &token)));
    want.page_token = token;
    HF_CHECK(hf_is_ok(svc_page_open(&ctx, key, &want, &page)));
    if (data[0] % 2 == 0) {
        want.page_token = hf_strndup(arena, (const char *)data + 1, size - 1);
    } else {
        char *at = token + data[1] % strlen(token);

        *at = *at == (char)data[2] ? '\x7f' : (char)data[2];
    }
    struct hf_status status = svc_page_open(&ctx, key, &want, &page);

    HF_CHECK(want.page_token[0] == '\0' ? hf_is_ok(status) : status.code == HF_INVALID_ARGUMENT);
    return 0;
}
