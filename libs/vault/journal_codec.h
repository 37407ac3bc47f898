/* Bytes of a journal entry; inside libs/vault and its fuzz targets only. An entry is
 *
 *   frame (magic, number, hash of the entry before, source, signer) | sealed body | signature
 *
 * where the body is a pack of kind JOURNAL. Format: docs/vault-format.md.
 */
#ifndef HF_VAULT_JOURNAL_CODEC_H
#define HF_VAULT_JOURNAL_CODEC_H

#include "base/buf.h"
#include "vault/journal.h"

#define VAULT_FRAME_LEN 112
#define VAULT_SIGNATURE_LEN 64
#define VAULT_ENTRY_MAX (64u << 20) /* bytes of an entry object: a checkpoint of 200,000 points */
#define VAULT_TEXT_MAX 1024u        /* any text of a body */

/* The part of an entry that needs no key. */
struct vault_frame {
    uint64_t number;
    uint8_t previous[VAULT_HASH_LEN];
    uint8_t source_tag[VAULT_HASH_LEN]; /* SHA-256 of the journal's prefix */
    uint8_t signer[VAULT_ID_LEN];       /* SHA-256 of the verifying key, cut */
    struct hf_bytes body;               /* the pack, borrowed */
    struct hf_bytes signed_part;        /* everything before the signature, borrowed */
    const uint8_t *signature;           /* VAULT_SIGNATURE_LEN, borrowed */
};
/* DATA_LOSS, NEWER_FORMAT. Pure. */
struct hf_status vault_frame_decode(struct hf_arena *arena, const char *name, struct hf_bytes bytes,
                                    struct vault_frame *ret_frame) HF_MUST_USE;
/* Frame and body; the signature is appended by the caller. */
void vault_frame_encode(const struct vault_frame *frame, struct hf_buf *out);

/* Body of an entry. For a checkpoint, state is the state before it (encoding) or is filled
 * (decoding); else it may be NULL and is left alone. Pure. */
void vault_body_encode(const struct vault_entry *entry, const struct vault_source_state *state,
                       struct hf_buf *out);
struct hf_status vault_body_decode(struct hf_arena *arena, const char *name, struct hf_bytes body,
                                   struct vault_entry *ret_entry,
                                   struct vault_source_state *ret_state) HF_MUST_USE;

/* What an entry is about, as a number: two entries of one attempt, kind and subject are one. */
uint64_t vault_entry_subject(const struct vault_entry *entry);

/* Items that a list of a state has room for: the next power of two, at least 1. */
static inline size_t vault_list_room(size_t len)
{
    size_t room = 1;

    while (room < len) {
        room *= 2;
    }
    return room;
}

/* Add an entry's effect to state (strings copied to arena). hash: of the entry's object. */
void vault_state_apply(struct hf_arena *arena, struct vault_source_state *state,
                       const struct vault_entry *entry, const uint8_t hash[VAULT_HASH_LEN]);

#endif
