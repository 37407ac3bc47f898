/* Directories that this process holds: see places.c. */
#ifndef HF_BACKUP_PLACES_H
#define HF_BACKUP_PLACES_H

#include <stdbool.h>
#include <sys/types.h>

#include "backup/config.h"
#include "base/arena.h"

#define PLACES_MAX 4

struct place {
    const char *setting;
    const char *path; /* borrowed */
    dev_t dev;
    ino_t ino;
};

struct places {
    struct place list[PLACES_MAX];
    size_t len;
    int64_t next_us; /* of the next look */
};

/* What is there now; arena and config outlive places. */
void places_note(struct hf_arena *arena, const struct backup_config *config, struct places *places);
/* Looks once a second at most; false, and logged, when one is no longer what was noted. */
bool places_are_ours(struct places *places);

#endif
