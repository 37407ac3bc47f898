/* Job arguments: two ids that hold no blank and a word, with a blank between them. */
#include "backup/domain/args.h"

#include <string.h>

#include "base/str.h"

#define ACCEPT_ROLLBACK "accept-rollback"

char *args_encode(struct hf_arena *arena, const struct args *args)
{
    return hf_printf(arena, "%s %s%s", args->cluster_id, args->backup_id,
                     args->accept_rollback ? " " ACCEPT_ROLLBACK : "");
}

struct args args_decode(struct hf_arena *arena, const char *text)
{
    size_t len = strcspn(text, " ");
    const char *second = text[len] == ' ' ? text + len + 1 : "";
    size_t second_len = strcspn(second, " ");

    return (struct args){
        .cluster_id = hf_strndup(arena, text, len),
        .backup_id = hf_strndup(arena, second, second_len),
        .accept_rollback = hf_text_equal(second + second_len, " " ACCEPT_ROLLBACK),
    };
}
