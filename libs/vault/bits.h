/* A growing set of pack numbers as a bitmap on the heap. Zeroed is empty and valid. One thread. */
#ifndef HF_VAULT_BITS_H
#define HF_VAULT_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest pack number (2 PiB of packs of 32 MiB): bounds a bitmap to 8 MiB, so that a hostile
 * number in a decoded table cannot ask for memory. */
#define VAULT_PACK_NUMBER_MAX ((UINT64_C(1) << 26) - 1)

struct vault_bits {
    uint64_t *words; /* owned */
    size_t len;      /* words */
};

void vault_bits_set(struct vault_bits *bits, uint64_t number); /* number ≤ VAULT_PACK_NUMBER_MAX */
bool vault_bits_test(const struct vault_bits *bits, uint64_t number);
void vault_bits_merge(struct vault_bits *bits, const struct vault_bits *other);
uint64_t vault_bits_count(const struct vault_bits *bits);
/* Smallest member ≥ from; false when there is none. */
bool vault_bits_next(const struct vault_bits *bits, uint64_t from, uint64_t *ret_number);
void vault_bits_done(struct vault_bits *bits); /* repeatable */

static inline void vault_bits_done_cleanup(struct vault_bits *bits)
{
    vault_bits_done(bits);
}

#endif
