/* Job arguments: two ids that hold no blank, with a blank between them. */
#include "backup/domain/args.h"

#include <string.h>

char *args_encode(struct hf_arena *arena, const struct args *args)
{
    return hf_printf(arena, "%s %s", args->cluster_id, args->backup_id);
}

struct args args_decode(struct hf_arena *arena, const char *text)
{
    size_t len = strcspn(text, " ");

    return (struct args){
        .cluster_id = hf_strndup(arena, text, len),
        .backup_id = text[len] == ' ' ? hf_strdup(arena, text + len + 1) : "",
    };
}
