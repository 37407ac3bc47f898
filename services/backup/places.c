/* The directories of this process, and whether they are still at their paths. The surprise: one
 * that was made anew under the same path is another one. The vault that is held is not what others
 * read by its path, and landlock's rules are for the directories that there were, not for their
 * names. */
#include "backup/places.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define LOOK_US HF_US_PER_S

/* A file system that does not answer says nothing of it. */
static bool is_replaced(const struct place *place)
{
    struct stat found;

    if (stat(place->path, &found) != 0) {
        return errno == ENOENT || errno == ENOTDIR;
    }
    return found.st_dev != place->dev || found.st_ino != place->ino;
}

void places_note(struct hf_arena *arena, const struct backup_config *config, struct places *places)
{
    const struct place list[] = {
        {.setting = "vault_dir", .path = config->vault_dir},
        {.setting = "cache_dir", .path = config->cache_dir},
        {.setting = "run_dir", .path = config->run_dir},
        {.setting = "epoch_file",
         .path =
             hf_text_empty(config->epoch_file) ? NULL : hf_path_parent(arena, config->epoch_file)},
    };

    for (size_t i = 0; i < HF_LEN(list); i++) {
        struct place place = list[i];
        struct stat found;

        if (place.path != NULL && stat(place.path, &found) == 0) {
            place.dev = found.st_dev;
            place.ino = found.st_ino;
            places->list[places->len++] = place;
        }
    }
}

bool places_are_ours(struct places *places)
{
    int64_t now_us = hf_mono_us();

    if (now_us < places->next_us) {
        return true;
    }
    places->next_us = now_us + LOOK_US;
    for (size_t i = 0; i < places->len; i++) {
        const struct place *place = &places->list[i];

        if (is_replaced(place)) {
            hf_error(NULL, HF_EVENT("directory.replaced"), HF_TEXT("setting", place->setting),
                     HF_TEXT("directory", place->path),
                     HF_TEXT("message", "it was moved, removed, unmounted or mounted over: a new "
                                        "process begins with what is there now"));
            return false;
        }
    }
    return true;
}
