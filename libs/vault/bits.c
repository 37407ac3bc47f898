/* Bitmap of pack numbers. */
#include "vault/bits.h"

#include <string.h>

#include "base/arena.h"
#include "base/check.h"

#define WORD_BITS 64

static void reserve(struct vault_bits *bits, size_t words)
{
    if (words <= bits->len) {
        return;
    }
    size_t cap = bits->len * 2 > words ? bits->len * 2 : words + 8;
    bits->words = hf_heap_grow(bits->words, cap * sizeof(bits->words[0]));
    memset(bits->words + bits->len, 0, (cap - bits->len) * sizeof(bits->words[0]));
    bits->len = cap;
}

void vault_bits_set(struct vault_bits *bits, uint64_t number)
{
    HF_CHECK(number <= VAULT_PACK_NUMBER_MAX);
    reserve(bits, (size_t)(number / WORD_BITS) + 1);
    bits->words[number / WORD_BITS] |= UINT64_C(1) << (number % WORD_BITS);
}

bool vault_bits_test(const struct vault_bits *bits, uint64_t number)
{
    return number / WORD_BITS < bits->len &&
           (bits->words[number / WORD_BITS] >> (number % WORD_BITS) & 1) != 0;
}

void vault_bits_merge(struct vault_bits *bits, const struct vault_bits *other)
{
    reserve(bits, other->len);
    for (size_t i = 0; i < other->len; i++) {
        bits->words[i] |= other->words[i];
    }
}

uint64_t vault_bits_count(const struct vault_bits *bits)
{
    uint64_t count = 0;

    for (size_t i = 0; i < bits->len; i++) {
        count += (uint64_t)__builtin_popcountll(bits->words[i]);
    }
    return count;
}

bool vault_bits_next(const struct vault_bits *bits, uint64_t from, uint64_t *ret_number)
{
    size_t at = (size_t)(from / WORD_BITS);

    if (at >= bits->len) {
        return false;
    }
    uint64_t word = bits->words[at] & (UINT64_MAX << (from % WORD_BITS));
    while (word == 0 && ++at < bits->len) {
        word = bits->words[at];
    }
    if (word == 0) {
        return false;
    }
    *ret_number = (uint64_t)at * WORD_BITS + (uint64_t)__builtin_ctzll(word);
    return true;
}

void vault_bits_done(struct vault_bits *bits)
{
    hf_heap_free(bits->words);
    *bits = (struct vault_bits){0};
}
