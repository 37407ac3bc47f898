/* zstd with reusable contexts and bounded output. One thread at a time per context. */
#ifndef HF_CODEC_ZSTREAM_H
#define HF_CODEC_ZSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/str.h"

struct codec_zstd;
/* level 1 … 19 (HF_CHECK). */
struct codec_zstd *codec_zstd_new(int level);
void codec_zstd_free(struct codec_zstd *zstd); /* accepts NULL */
/* Most bytes that len bytes can become. */
size_t codec_zstd_bound(size_t len);
/* One whole frame. Returns its length, or 0 when it does not fit into cap. */
size_t codec_zstd_compress(struct codec_zstd *zstd, struct hf_bytes plain, void *ret_bytes,
                           size_t cap);

struct codec_unzstd;
struct codec_unzstd *codec_unzstd_new(void);
void codec_unzstd_free(struct codec_unzstd *unzstd); /* accepts NULL */
/* Whole frames to exactly len bytes; never writes beyond. False: damaged, or another length. */
bool codec_unzstd(struct codec_unzstd *unzstd, struct hf_bytes coded, void *ret_bytes, size_t len);

static inline void codec_zstd_free_cleanup(struct codec_zstd **zstd)
{
    codec_zstd_free(*zstd);
    *zstd = NULL;
}
static inline void codec_unzstd_free_cleanup(struct codec_unzstd **unzstd)
{
    codec_unzstd_free(*unzstd);
    *unzstd = NULL;
}

#endif
