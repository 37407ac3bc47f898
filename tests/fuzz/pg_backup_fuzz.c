/* A server's answer to BASE_BACKUP, from its first row to the last byte of the last archive: events
 * in their order, paths that stay below, or a failure. */
#include "pgwire/basebackup.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pg_wire.h"

struct seen {
    bool is_started;
    bool is_in_archive;
};

static struct hf_status started(void *arg, const struct pgwire_backup_start *start)
{
    struct seen *seen = arg;

    HF_CHECK(!seen->is_started && start->tablespaces_len > 0 && start->size_bytes >= 0);
    seen->is_started = true;
    return hf_success();
}

static struct hf_status archive_begin(void *arg, uint32_t oid, const char *location)
{
    struct seen *seen = arg;

    HF_CHECK(seen->is_started && !seen->is_in_archive && (oid == 0) == (location[0] == '\0'));
    seen->is_in_archive = true;
    return hf_success();
}

static struct hf_status archive_end(void *arg)
{
    struct seen *seen = arg;

    HF_CHECK(seen->is_in_archive);
    seen->is_in_archive = false;
    return hf_success();
}

static struct hf_status on_header(void *arg, const struct pgf_tar_member *member)
{
    const struct seen *seen = arg;

    HF_CHECK(seen->is_in_archive && member->path[0] != '/' && strstr(member->path, "../") == NULL);
    return hf_success();
}

static struct hf_status on_data(void *arg, const uint8_t *bytes, size_t len)
{
    const struct seen *seen = arg;

    HF_CHECK(seen->is_in_archive && bytes != NULL && len > 0);
    return hf_success();
}

static struct hf_status on_end(void *arg)
{
    const struct seen *seen = arg;

    HF_CHECK(seen->is_in_archive);
    return hf_success();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {.is_started = false};
    const struct pgwire_backup_events events = {
        .started = started,
        .archive_begin = archive_begin,
        .archive_end = archive_end,
        .tar = {on_header, on_data, on_end, &seen},
        .arg = &seen,
    };
    const struct pgwire_backup_options options = {.label = "holdfast fuzz"};
    struct pgwire_backup_end end = {0};
    struct fuzz_server server;

    if (!fuzz_server_open(&server, data, size)) {
        return 0;
    }
    struct hf_status status =
        pgwire_base_backup(&server.ctx, &server.conn, &options, &events, &end);

    fuzz_check_status(status);
    HF_CHECK(!hf_is_ok(status) || (seen.is_started && !seen.is_in_archive && end.stop_lsn != 0));
    fuzz_server_close(&server);
    return 0;
}
