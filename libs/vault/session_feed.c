/* The feeding thread's side of a session: bytes into units, in file order. */
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "vault/session_impl.h"

static struct hf_status check_attrs(struct hf_ctx *ctx, const struct vault_attrs *attrs)
{
    size_t link_len = attrs->link == NULL ? 0 : strnlen(attrs->link, VAULT_PATH_MAX + 1);

    if (!vault_path_is_sane(attrs->path)) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "\"%.200s\" is not a relative path without \".\" and \"..\" parts",
                       attrs->path);
    }
    if ((attrs->node == VAULT_NODE_SYMLINK) != (link_len > 0) || link_len > VAULT_PATH_MAX) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s has a link target it cannot have",
                       attrs->path);
    }
    return hf_success();
}

static struct session_file *file_new(struct vault_session *session, const struct vault_attrs *attrs)
{
    struct session_file *file = hf_heap_alloc(sizeof(*file));

    file->attrs = *attrs;
    file->path = hf_heap_strdup(attrs->path);
    file->link = hf_heap_strdup(attrs->link != NULL ? attrs->link : "");
    file->attrs.path = file->path;
    file->attrs.link = file->link;
    file->attrs.mode &= 07777;
    file->attrs.size_bytes = 0;
    file->attrs.crc32c = 0;
    vault_path_key(session->place.keyring, attrs->path, file->key);
    if (session->digests != NULL) {
        file->before = vault_digests_find(session->digests, file->key);
    }
    if (file->before != NULL) {
        file->before->is_seen = true;
    }
    vault_session_file_link(session, file);
    return file;
}

struct hf_status vault_session_entry(struct hf_ctx *ctx, struct vault_session *session,
                                     const struct vault_attrs *attrs)
{
    HF_CHECK(session->file == NULL);
    HF_CHECK(attrs->node == VAULT_NODE_DIR || attrs->node == VAULT_NODE_SYMLINK);
    HF_TRY(vault_fault_check(ctx, &session->fault));
    HF_TRY(check_attrs(ctx, attrs));
    vault_session_order_entry(ctx, session, file_new(session, attrs));
    return vault_fault_check(ctx, &session->fault);
}

struct hf_status vault_session_file_begin(struct hf_ctx *ctx, struct vault_session *session,
                                          const struct vault_attrs *attrs)
{
    HF_CHECK(session->file == NULL && attrs->node == VAULT_NODE_FILE);
    HF_TRY(vault_fault_check(ctx, &session->fault));
    HF_TRY(check_attrs(ctx, attrs));
    session->file = file_new(session, attrs);
    session->file_pages = 0;
    session->crc32c = 0;
    return hf_success();
}

static struct hf_status take_unit(struct hf_ctx *ctx, struct vault_session *session)
{
    void *item = NULL;

    do {
        HF_TRY(vault_fault_check(ctx, &session->fault));
    } while (hf_queue_pop(session->free_units, POLL_MS, &item) != HF_POP_ITEM);
    session->unit = item;
    session->unit->file = session->file;
    session->unit->first_page = session->file_pages;
    session->unit->filled = 0;
    session->unit->drained = 0;
    session->unit->is_last = false;
    session->unit->is_placed = false;
    return hf_success();
}

/* Digests of the same pages in the predecessor. An unreadable cache costs space, not the backup:
 * the pages count as changed, and this session writes a new cache. */
static void load_before(struct hf_ctx *ctx, struct vault_session *session, struct unit *unit)
{
    const struct vault_digests_file *before = session->file->before;

    unit->before_len = 0;
    if (before == NULL || before->pages <= unit->first_page) {
        return;
    }
    uint32_t left = before->pages - unit->first_page;
    uint32_t count = left < unit->pages ? left : unit->pages;
    struct hf_status status =
        vault_digests_read(ctx, session->digests, before, unit->first_page, count, unit->before);
    unit->before_len = hf_is_ok(status) ? count : 0;
}

static struct hf_status dispatch(struct hf_ctx *ctx, struct vault_session *session, bool is_last)
{
    struct unit *unit = HF_TAKE(session->unit);

    unit->pages = (uint32_t)vault_pages_of(unit->filled);
    memset(unit->data + unit->filled, 0, (size_t)unit->pages * VAULT_PAGE - unit->filled);
    unit->is_last = is_last;
    unit->seq = session->next_seq++;
    load_before(ctx, session, unit);
    session->file_pages += unit->pages;
    bool is_pushed = hf_queue_push(session->work, unit, 0);
    HF_CHECK(is_pushed); /* the queue holds all units */
    return hf_success();
}

struct hf_status vault_session_write(struct hf_ctx *ctx, struct vault_session *session,
                                     const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    HF_CHECK(session->file != NULL);
    if (len > VAULT_FILE_MAX - session->file->attrs.size_bytes) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "%s is larger than a file may be",
                       session->file->attrs.path);
    }
    session->crc32c = codec_crc32c(session->crc32c, bytes, len);
    session->file->attrs.size_bytes += len;
    atomic_fetch_add(&session->progress->source_bytes, len);
    while (len > 0) {
        if (session->unit != NULL && session->unit->filled == UNIT_BYTES) {
            HF_TRY(dispatch(ctx, session, false));
        }
        if (session->unit == NULL) {
            HF_TRY(take_unit(ctx, session));
        }
        size_t room = UNIT_BYTES - session->unit->filled;
        size_t part = len < room ? len : room;
        memcpy(session->unit->data + session->unit->filled, at, part);
        session->unit->filled += part;
        at += part;
        len -= part;
    }
    return hf_success();
}

struct hf_status vault_session_file_end(struct hf_ctx *ctx, struct vault_session *session)
{
    HF_CHECK(session->file != NULL);
    struct session_file *file = session->file;

    HF_TRY(vault_fault_check(ctx, &session->fault));
    file->attrs.crc32c = session->crc32c;
    session->last_crc32c = session->crc32c;
    if (session->unit != NULL) {
        HF_TRY(dispatch(ctx, session, true)); /* reads session->file */
    } else {
        vault_session_order_entry(ctx, session, file);
    }
    session->file = NULL;
    return vault_fault_check(ctx, &session->fault);
}
