/* zstd contexts. The surprise: a decompressor is never asked for a stream, so that its output is
 * bounded by the caller's buffer and no window is ever allocated on a frame's word. */
#include "codec/zstream.h"

#include <zstd.h>

#include "base/arena.h"
#include "base/check.h"

struct codec_zstd {
    ZSTD_CCtx *ctx;
};

struct codec_unzstd {
    ZSTD_DCtx *ctx;
};

static void set(struct codec_zstd *zstd, ZSTD_cParameter parameter, int value)
{
    HF_CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(zstd->ctx, parameter, value)));
}

/* The library sizes the two hash tables of level 3 for long streams: 768 KiB, more than the
 * second-level cache of many cores. For blobs of 512 KiB, 256 KiB of tables take 10 to 15 % less
 * time on table data at 0.8 % more bytes, and 21 to 27 % less on indexes, which even shrink. The
 * comparison is in docs/benchmarks.md. */
#define TUNED_LEVEL 3
#define TUNED_TABLE_LOG 15

struct codec_zstd *codec_zstd_new(int level)
{
    struct codec_zstd *zstd = hf_heap_alloc(sizeof(*zstd));

    HF_CHECK(level >= 1 && level <= 19);
    zstd->ctx = ZSTD_createCCtx();
    HF_CHECK(zstd->ctx != NULL);
    set(zstd, ZSTD_c_compressionLevel, level);
    if (level == TUNED_LEVEL) {
        set(zstd, ZSTD_c_hashLog, TUNED_TABLE_LOG);
        set(zstd, ZSTD_c_chainLog, TUNED_TABLE_LOG);
    }
    return zstd;
}

void codec_zstd_free(struct codec_zstd *zstd)
{
    if (zstd != NULL) {
        ZSTD_freeCCtx(zstd->ctx);
        hf_heap_free(zstd);
    }
}

size_t codec_zstd_bound(size_t len)
{
    return ZSTD_compressBound(len);
}

size_t codec_zstd_compress(struct codec_zstd *zstd, struct hf_bytes plain, void *ret_bytes,
                           size_t cap)
{
    size_t len = ZSTD_compress2(zstd->ctx, ret_bytes, cap, plain.ptr, plain.len);

    return ZSTD_isError(len) ? 0 : len;
}

struct codec_unzstd *codec_unzstd_new(void)
{
    struct codec_unzstd *unzstd = hf_heap_alloc(sizeof(*unzstd));

    unzstd->ctx = ZSTD_createDCtx();
    HF_CHECK(unzstd->ctx != NULL);
    return unzstd;
}

void codec_unzstd_free(struct codec_unzstd *unzstd)
{
    if (unzstd != NULL) {
        ZSTD_freeDCtx(unzstd->ctx);
        hf_heap_free(unzstd);
    }
}

bool codec_unzstd(struct codec_unzstd *unzstd, struct hf_bytes coded, void *ret_bytes, size_t len)
{
    size_t got = ZSTD_decompressDCtx(unzstd->ctx, ret_bytes, len, coded.ptr, coded.len);

    return !ZSTD_isError(got) && got == len;
}
