/* Growing packs: what was acknowledged is read after a crash at any byte. */
#include "base/buf.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/pack_format.h"

#define RECORDS 5

struct grown {
    struct hf_buf bytes;
    size_t ends[RECORDS]; /* object length after record i */
    size_t closed;        /* length with trailer */
};

static struct vault_pack_stream *stream_new(struct fixture *f, size_t capacity, struct hf_buf *out)
{
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_WAL, .capacity_bytes = capacity, .level = 1};
    struct vault_pack_stream *stream = NULL;

    assert_ok(vault_pack_stream_new(&f->ctx, f->keyring, &options, out, &stream));
    return stream;
}

static void grow(struct fixture *f, struct grown *ret)
{
    HF_CLEANUP(vault_pack_stream_free) struct vault_pack_stream *stream = NULL;
    uint8_t wal[300];

    hf_buf_init(&ret->bytes, 1 << 20);
    stream = stream_new(f, 1 << 20, &ret->bytes);
    for (size_t i = 0; i < RECORDS; i++) {
        memset(wal, (int)i, sizeof(wal));
        assert_ok(vault_pack_stream_add(&f->ctx, stream, VAULT_BLOB_WAL,
                                        (struct hf_bytes){wal, 100 + i}, &ret->bytes));
        ret->ends[i] = ret->bytes.len;
        assert_int_equal(vault_pack_stream_size(stream), ret->bytes.len);
    }
    assert_ok(vault_pack_stream_finish(&f->ctx, stream, &ret->bytes));
    ret->closed = ret->bytes.len;
}

static struct hf_status scan(struct fixture *f, struct hf_bytes bytes, struct vault_pack *ret_pack,
                             bool *ret_is_closed)
{
    assert_ok(objstore_remove(&f->ctx, f->store, "wal/s"));
    assert_ok(objstore_put(&f->ctx, f->store, "wal/s", bytes));
    return vault_pack_scan(&f->ctx, f->store, f->keyring, "wal/s", ret_pack, ret_is_closed);
}

static void test_pack_stream__closed_one_is_a_pack(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct grown g;
    struct vault_pack pack;
    struct hf_bytes plain;
    bool is_closed = false;

    grow(f, &g);
    assert_ok(scan(f, (struct hf_bytes){g.bytes.ptr, g.closed}, &pack, &is_closed));
    assert_true(is_closed);
    assert_int_equal(pack.blobs_len, RECORDS);
    assert_ok(vault_blob_read(&f->ctx, f->store, f->keyring, &pack, 4, true, reader, &plain));
    assert_int_equal(plain.len, 104);
    assert_int_equal(plain.ptr[103], 4);
    assert_ok(vault_pack_open(&f->ctx, f->store, f->keyring, "wal/s", &pack));
    hf_buf_done(&g.bytes);
}

static void test_pack_stream__cut_anywhere_gives_the_whole_records(void **state)
{
    struct fixture *f = *state;
    struct grown g;

    grow(f, &g);
    for (size_t len = 0; len < g.closed; len += 13) {
        struct vault_pack pack;
        bool is_closed = true;
        size_t whole = 0;

        while (whole < RECORDS && g.ends[whole] <= len) {
            whole++;
        }
        assert_ok(scan(f, (struct hf_bytes){g.bytes.ptr, len}, &pack, &is_closed));
        assert_false(is_closed);
        assert_int_equal(pack.blobs_len, whole);
    }
    hf_buf_done(&g.bytes);
}

static void test_pack_stream__reads_the_records_of_an_open_one(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct grown g;
    struct vault_pack pack;
    struct hf_bytes plain;
    bool is_closed = true;

    grow(f, &g);
    assert_ok(scan(f, (struct hf_bytes){g.bytes.ptr, g.ends[3] + 1}, &pack, &is_closed));
    assert_int_equal(pack.blobs_len, 4);
    assert_ok(vault_blob_read(&f->ctx, f->store, f->keyring, &pack, 3, true, reader, &plain));
    assert_int_equal(plain.len, 103);
    hf_buf_done(&g.bytes);
}

static void test_pack_stream__damage_in_a_closed_one_is_data_loss(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct grown g;
    struct vault_pack pack;
    struct hf_bytes plain;
    bool is_closed = false;

    grow(f, &g);
    g.bytes.ptr[g.ends[0] + VAULT_RECORD_HEADER_LEN] ^= 1; /* in record 1 */
    assert_ok(scan(f, (struct hf_bytes){g.bytes.ptr, g.closed}, &pack, &is_closed));
    assert_code(vault_blob_read(&f->ctx, f->store, f->keyring, &pack, 1, false, reader, &plain),
                HF_DATA_LOSS);
    g.bytes.ptr[g.closed - VAULT_FOOTER_LEN - 1] ^= 1; /* in the trailer */
    assert_code(scan(f, (struct hf_bytes){g.bytes.ptr, g.closed}, &pack, &is_closed), HF_DATA_LOSS);
    hf_buf_done(&g.bytes);
}

static void test_pack_stream__damage_in_an_open_one_ends_it_there(void **state)
{
    struct fixture *f = *state;
    struct grown g;
    struct vault_pack pack;
    bool is_closed = true;

    grow(f, &g);
    g.bytes.ptr[g.ends[1] + 20] ^= 1; /* in record 2 */
    assert_ok(scan(f, (struct hf_bytes){g.bytes.ptr, g.ends[4]}, &pack, &is_closed));
    assert_false(is_closed);
    assert_int_equal(pack.blobs_len, 2);
    hf_buf_done(&g.bytes);
}

static void test_pack_stream__is_full_at_its_capacity(void **state)
{
    struct fixture *f = *state;
    struct hf_buf out;
    struct vault_pack_stream *stream;
    struct hf_status status;

    hf_buf_init(&out, 1 << 20);
    stream = stream_new(f, 4096, &out);
    do {
        status = vault_pack_stream_add(&f->ctx, stream, VAULT_BLOB_BYTES,
                                       (struct hf_bytes){(const uint8_t *)"0123456789", 10}, &out);
    } while (hf_is_ok(status));
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_ok(vault_pack_stream_finish(&f->ctx, stream, &out));
    assert_in_range(out.len, 3900, 4096);
    vault_pack_stream_free(stream);
    hf_buf_done(&out);
}

static void test_pack_stream__grows_in_a_store(void **state)
{
    struct fixture *f = *state;
    struct objstore_appender *appender = NULL;
    struct vault_pack_stream *stream;
    struct hf_buf out;
    struct vault_pack pack;
    bool is_closed = true;
    const struct objstore_ops *ops = f->store->ops;

    hf_buf_init(&out, 1 << 20);
    stream = stream_new(f, 1 << 20, &out);
    assert_ok(ops->append_create(&f->ctx, f->store, "wal/open", &appender));
    assert_ok(ops->append(&f->ctx, appender, (struct hf_bytes){out.ptr, out.len}, true));
    hf_buf_clear(&out);
    assert_ok(vault_pack_stream_add(&f->ctx, stream, VAULT_BLOB_WAL,
                                    (struct hf_bytes){(const uint8_t *)"wal", 3}, &out));
    assert_ok(ops->append(&f->ctx, appender, (struct hf_bytes){out.ptr, out.len}, true));
    assert_ok(vault_pack_scan(&f->ctx, f->store, f->keyring, "wal/open", &pack, &is_closed));
    assert_false(is_closed);
    assert_int_equal(pack.blobs_len, 1);
    hf_buf_clear(&out);
    assert_ok(vault_pack_stream_finish(&f->ctx, stream, &out));
    assert_ok(ops->append(&f->ctx, appender, (struct hf_bytes){out.ptr, out.len}, false));
    assert_ok(ops->append_close_as(&f->ctx, appender, "wal/closed"));
    assert_ok(vault_pack_open(&f->ctx, f->store, f->keyring, "wal/closed", &pack));
    assert_code(vault_pack_open(&f->ctx, f->store, f->keyring, "wal/open", &pack), HF_NOT_FOUND);
    vault_pack_stream_free(stream);
    hf_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_pack_stream__closed_one_is_a_pack),
        fixture_test(test_pack_stream__cut_anywhere_gives_the_whole_records),
        fixture_test(test_pack_stream__reads_the_records_of_an_open_one),
        fixture_test(test_pack_stream__damage_in_a_closed_one_is_data_loss),
        fixture_test(test_pack_stream__damage_in_an_open_one_ends_it_there),
        fixture_test(test_pack_stream__is_full_at_its_capacity),
        fixture_test(test_pack_stream__grows_in_a_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
