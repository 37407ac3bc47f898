/* The same range must have the same bytes. Plaintexts are compared: sealed bytes of equal WAL
 * differ. */
#include "vault/wal_compare.h"

#include <inttypes.h>
#include <string.h>

#define CHUNK (256u << 10)

struct hf_status vault_wal_conflict(struct hf_arena *arena, uint32_t timeline, uint64_t lsn)
{
    const char *at = vault_wal_lsn_text(arena, lsn);
    const char *tli = hf_printf(arena, "%" PRIu32, timeline);

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, VAULT_WAL_CONFLICT,
                        (const char *const[]){"lsn", at, "timeline", tli, NULL},
                        "other WAL is stored at %s of timeline %s", at, tli);
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;

    while (i < len && a[i] == b[i]) {
        i++;
    }
    return i;
}

struct hf_status vault_wal_compare(struct hf_ctx *ctx, struct vault_wal_reader *reader,
                                   uint32_t timeline, uint64_t lsn, struct hf_bytes bytes)
{
    HF_CLEANUP(hf_heap_free) void *chunk = hf_heap_alloc(CHUNK);

    for (size_t done = 0; done < bytes.len;) {
        size_t n = bytes.len - done < CHUNK ? bytes.len - done : CHUNK;

        HF_TRY(vault_wal_read(ctx, reader, timeline, lsn + done, n, chunk));
        if (memcmp(chunk, bytes.ptr + done, n) != 0) {
            return vault_wal_conflict(ctx->arena, timeline,
                                      lsn + done + first_difference(chunk, bytes.ptr + done, n));
        }
        done += n;
    }
    return hf_success();
}

struct hf_status vault_wal_compare_slices(struct hf_ctx *ctx, struct vault_wal_slice *a,
                                          struct vault_wal_slice *b, uint32_t timeline)
{
    uint64_t lsn = vault_wal_slice_from(a);

    lsn = vault_wal_slice_from(b) > lsn ? vault_wal_slice_from(b) : lsn;
    while (vault_wal_slice_holds(a, lsn) && vault_wal_slice_holds(b, lsn)) {
        struct hf_bytes x = {0};
        struct hf_bytes y = {0};
        size_t n;

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_wal_slice_at(ctx, a, lsn, &x));
        HF_TRY(vault_wal_slice_at(ctx, b, lsn, &y));
        n = x.len < y.len ? x.len : y.len;
        if (memcmp(x.ptr, y.ptr, n) != 0) {
            return vault_wal_conflict(ctx->arena, timeline,
                                      lsn + first_difference(x.ptr, y.ptr, n));
        }
        lsn += n;
    }
    return hf_success();
}
