/* The service is asked (--check), for it alone knows its settings; nothing else of the installation
 * is read, so that the file is judged before there is one. */
#include "cli/supervise/overrides.h"

#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/spawn.h"

#define ANSWER_MAX ((size_t)64 << 10)
#define ANSWER_SECONDS 20
#define REFUSED 2

struct hf_status overrides_check(struct hf_ctx *ctx, const struct place *place)
{
    const char *path = hf_path_join(ctx->arena, place->dir, DIR_OVERRIDES);
    const char *const argv[] = {hf_path_join(ctx->arena, place->bin, PLACE_SERVICE), "--check",
                                "--overrides", path, NULL};
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    int code = 0;

    if (!hf_path_exists(path)) {
        return hf_success();
    }
    hf_buf_init(&text, ANSWER_MAX);
    HF_TRY(spawn_ask(ctx, place, argv, ANSWER_SECONDS, &text, &code));
    if (code != REFUSED) {
        return hf_success();
    }
    const char *all = hf_buf_text(&text);
    const char *line = hf_strndup(ctx->arena, all, strcspn(all, "\n"));
    const char *const metadata[] = {"file", path, NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "OVERRIDES", metadata,
                        "%s%s%s; mend it, for no service starts with it",
                        strstr(line, DIR_OVERRIDES) == NULL ? path : "",
                        strstr(line, DIR_OVERRIDES) == NULL ? ": " : "", line);
}
