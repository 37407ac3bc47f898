/* Runs a fuzz target over every file of its corpus, so that an ordinary test run proves old
 * findings fixed.
 *
 * The surprise: an empty or missing corpus is a failure, else a moved folder would pass for ever.
 * Each input is also run cut short in the middle, which costs nothing and hits the bounds checks.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/status.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_INPUT_BYTES = 16 * 1024 * 1024, MAX_ARENA_BYTES = 1024 * 1024 };

static bool replay_file(const char *folder, const char *name)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(MAX_ARENA_BYTES);
    struct hf_buf bytes;
    struct hf_status status;

    hf_buf_init(&bytes, MAX_INPUT_BYTES);
    status = hf_read_file(arena, hf_path_join(arena, folder, name), &bytes);
    if (status.code == HF_OK) {
        LLVMFuzzerTestOneInput((const uint8_t *)bytes.ptr, bytes.len);
        LLVMFuzzerTestOneInput((const uint8_t *)bytes.ptr, bytes.len / 2);
    } else {
        fprintf(stderr, "%s\n", status.message);
    }
    hf_buf_done(&bytes);
    return status.code == HF_OK;
}

int main(int argc, char **argv)
{
    unsigned replayed = 0;
    const struct dirent *entry;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;

    if (folder == NULL) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER (which must exist)\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (!replay_file(argv[1], entry->d_name)) {
            closedir(folder);
            return 1;
        }
        replayed++;
    }
    closedir(folder);
    printf("%u inputs replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
