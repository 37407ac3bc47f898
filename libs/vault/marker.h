/* The object "holdfast-vault" at the top of a vault: plain text that says what this is, in which
 * format, and which vault. Written once, first.
 */
#ifndef HF_VAULT_MARKER_H
#define HF_VAULT_MARKER_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/id.h"
#include "objstore/objstore.h"

#define VAULT_MARKER_NAME "holdfast-vault"
/* Device and inode of the directory that a service holds, a line in its state/: a path may lead to
 * another one meanwhile. */
#define VAULT_NOTE_NAME "vault"
#define VAULT_NOTE_FORMAT "%llu %llu"
#define VAULT_NOTE_MAX 64

struct vault_marker {
    unsigned format;
    char id[HF_UUID_TEXT_LEN + 1];
    int64_t created_us;
};

/* Make an empty store a vault; a vault stays as it is (then the same as vault_check).
 * FAILED_PRECONDITION: reason NEWER_FORMAT, or there are objects but no marker. Repeat safe. */
struct hf_status vault_create(struct hf_ctx *ctx, struct objstore *store) HF_MUST_USE;
/* Is this a vault that this program can use? NOT_FOUND: no vault; FAILED_PRECONDITION reason
 * NEWER_FORMAT; DATA_LOSS: the marker is damaged. */
struct hf_status vault_check(struct hf_ctx *ctx, struct objstore *store,
                             struct vault_marker *ret_marker) HF_MUST_USE;

/* Text of a marker and back; pure. name is for messages. */
char *vault_marker_encode(struct hf_arena *arena, const struct vault_marker *marker);
struct hf_status vault_marker_decode(struct hf_arena *arena, struct hf_str text,
                                     struct vault_marker *ret_marker) HF_MUST_USE;

#endif
