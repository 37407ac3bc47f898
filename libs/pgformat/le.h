/* Little-endian fields of PostgreSQL's files, read without alignment. PostgreSQL writes its own
 * byte order; all platforms of the product are little-endian and big-endian sources are refused by
 * their magic numbers. */
#ifndef HF_PGFORMAT_LE_H
#define HF_PGFORMAT_LE_H

#include <stdint.h>

static inline uint16_t pgf_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t pgf_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16) | ((uint32_t)p[3] << 24);
}

static inline uint64_t pgf_le64(const uint8_t *p)
{
    return (uint64_t)pgf_le32(p) | ((uint64_t)pgf_le32(p + 4) << 32);
}

static inline void pgf_put_le32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline void pgf_put_le64(uint8_t *p, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

#endif
