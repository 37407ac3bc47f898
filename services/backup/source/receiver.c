/* The WAL receiver of a cluster: start, stop, snapshot, waiting.
 *
 * The snapshot is the only state that two threads share; it is copied whole under the lock.
 */
#include "backup/source/receiver.h"

#include <inttypes.h>
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/check.h"
#include "base/clock.h"

static void copy_text(char *target, size_t size, const char *text)
{
    size_t len = hf_utf8_cut(text, strlen(text), size - 1);

    memcpy(target, text, len);
    target[len] = '\0';
}

static char *dup_or_null(const char *text)
{
    return text == NULL ? NULL : hf_heap_strdup(text);
}

static char *make_application_name(const char *cluster)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);

    return hf_heap_strdup(hf_printf(arena, "holdfast_%s", cluster));
}

void receiver_stop(struct receiver *receiver)
{
    atomic_store(&receiver->stop.is_set, true);
    hf_lock_take(&receiver->lock);
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

static void free_text(const char *text)
{
    union {
        const char *text;
        void *heap;
    } owned = {.text = text};

    hf_heap_free(owned.heap);
}

static void wipe_text(const char *text)
{
    union {
        const char *text;
        char *bytes;
    } owned = {.text = text};

    if (text != NULL) {
        explicit_bzero(owned.bytes, strlen(text));
    }
}

void receiver_free(struct receiver *receiver)
{
    const struct receiver_options *own;

    if (receiver == NULL) {
        return;
    }
    own = &receiver->options;
    receiver_stop(receiver);
    hf_thread_join(receiver->thread);
    hf_thread_join(receiver->clerk);
    wipe_text(own->password);
    wipe_text(own->access.key_pem);
    free_text(own->access.owner);
    free_text(own->access.run_dir);
    free_text(own->access.ca_pem);
    free_text(own->access.cert_pem);
    free_text(own->access.key_pem);
    free_text(own->cluster);
    free_text(own->dsn);
    free_text(own->password);
    free_text(own->slot);
    free_text(own->system_identifier);
    free_text(own->prefix);
    free_text(own->lineage);
    hf_heap_free(receiver->application_name);
    hf_lock_done(&receiver->lock);
    hf_heap_free(receiver);
}

static struct receiver *receiver_new(const struct receiver_options *options)
{
    struct receiver *receiver = hf_heap_alloc(sizeof(*receiver));
    struct receiver_options *own = &receiver->options;

    HF_CHECK(strlen(options->lineage) < RECEIVER_LINEAGE_MAX && strlen(options->cluster) < 100);
    *own = *options;
    own->cluster = hf_heap_strdup(options->cluster);
    own->dsn = hf_heap_strdup(options->dsn);
    own->password = dup_or_null(options->password);
    own->access.owner = dup_or_null(options->access.owner);
    own->access.run_dir = dup_or_null(options->access.run_dir);
    own->access.ca_pem = dup_or_null(options->access.ca_pem);
    own->access.cert_pem = dup_or_null(options->access.cert_pem);
    own->access.key_pem = dup_or_null(options->access.key_pem);
    own->slot = hf_heap_strdup(options->slot);
    own->system_identifier = hf_heap_strdup(options->system_identifier);
    own->prefix = hf_heap_strdup(options->prefix);
    own->lineage = hf_heap_strdup(options->lineage);
    own->inventory_us = options->inventory_us > 0 ? options->inventory_us : 60 * HF_US_PER_S;
    own->look_us = options->look_us > 0 ? options->look_us : 15 * HF_US_PER_S;
    own->vault_us = options->vault_us > 0 ? options->vault_us : 5 * HF_US_PER_S;
    receiver->timeline = options->timeline;
    receiver->application_name = make_application_name(options->cluster);
    copy_text(receiver->lineage, sizeof(receiver->lineage), options->lineage);
    copy_text(receiver->status.lineage, sizeof(receiver->status.lineage), options->lineage);
    hf_lock_init(&receiver->lock);
    return receiver;
}

struct receiver *receiver_start(const struct receiver_options *options)
{
    struct receiver *receiver = receiver_new(options);

    /* The clerk first: it waits, so that it is ended at once when the other cannot be had. */
    receiver->clerk = hf_thread_try("wal-clerk", receiver_clerk, receiver);
    if (receiver->clerk != NULL) {
        receiver->thread = hf_thread_try("wal-receiver", receiver_loop, receiver);
    }
    if (receiver->thread == NULL) {
        receiver_free(receiver);
        return NULL;
    }
    return receiver;
}

void receiver_status_fail(struct receiver_status *status, enum receiver_state state,
                          struct hf_status failure)
{
    status->state = state;
    copy_text(status->error, sizeof(status->error), failure.message == NULL ? "" : failure.message);
    copy_text(status->reason, sizeof(status->reason),
              failure.info == NULL ? "" : failure.info->reason);
}

void receiver_status_get(struct receiver *receiver, struct receiver_status *ret_status)
{
    hf_lock_take(&receiver->lock);
    *ret_status = receiver->status;
    hf_lock_release(&receiver->lock);
}

void receiver_note_state(struct receiver *receiver, enum receiver_state state,
                         const struct hf_status *ended)
{
    struct receiver_status *status = &receiver->status;

    hf_lock_take(&receiver->lock);
    status->state = state;
    if (ended != NULL) {
        receiver_status_fail(status, state, *ended);
    }
    status->connects += state == RECEIVER_STREAMING;
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

void receiver_note_durable(struct receiver *receiver)
{
    const struct vault_wal_writer *writer = receiver->writer;

    hf_lock_take(&receiver->lock);
    receiver->status.timeline = receiver->timeline;
    receiver->status.start_lsn = vault_wal_writer_range_start(writer);
    receiver->status.durable_lsn = vault_wal_writer_durable(writer);
    /* A new timeline's writer knows no time yet: what the old one proved stays proven. */
    if (vault_wal_writer_durable_time(writer) > receiver->status.durable_time_us) {
        receiver->status.durable_time_us = vault_wal_writer_durable_time(writer);
    }
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

void receiver_note_open(struct receiver *receiver)
{
    hf_lock_take(&receiver->lock);
    receiver->status.opens++;
    hf_lock_release(&receiver->lock);
}

void receiver_note_heard(struct receiver *receiver, uint64_t source_lsn, uint64_t bytes)
{
    hf_lock_take(&receiver->lock);
    receiver->status.source_lsn = source_lsn;
    receiver->status.bytes += bytes;
    receiver->status.heard_us = hf_now_us();
    hf_lock_release(&receiver->lock);
}

void receiver_note_flush(struct receiver *receiver, int64_t took_us)
{
    hf_lock_take(&receiver->lock);
    receiver->status.flushes++;
    receiver->status.flush_us += (uint64_t)took_us;
    hf_lock_release(&receiver->lock);
}

void receiver_note_end(struct receiver *receiver, uint32_t timeline, uint64_t lsn)
{
    hf_lock_take(&receiver->lock);
    if (receiver->ends_len == RECEIVER_ENDS_MAX) {
        memmove(receiver->ends, receiver->ends + 1,
                (RECEIVER_ENDS_MAX - 1) * sizeof(receiver->ends[0]));
        receiver->ends_len--;
    }
    receiver->ends[receiver->ends_len++] = (struct receiver_end){timeline, lsn};
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

void receiver_note_gap(struct receiver *receiver, const struct vault_wal_range *gap)
{
    struct receiver_status *status = &receiver->status;

    hf_lock_take(&receiver->lock);
    if (status->gaps_len == RECEIVER_GAPS_MAX) {
        memmove(status->gaps, status->gaps + 1, (RECEIVER_GAPS_MAX - 1) * sizeof(status->gaps[0]));
        status->gaps_len--;
    }
    status->gaps[status->gaps_len++] = *gap;
    status->gaps_total++;
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

void receiver_note_lineage(struct receiver *receiver, const char *lineage)
{
    struct receiver_status *status = &receiver->status;

    hf_lock_take(&receiver->lock);
    copy_text(receiver->lineage, sizeof(receiver->lineage), lineage);
    copy_text(status->lineage, sizeof(status->lineage), lineage);
    status->timeline = 0;
    status->start_lsn = 0;
    status->durable_lsn = 0;
    status->durable_time_us = 0;
    status->gaps_len = 0;
    status->gaps_total = 0;
    receiver->ends_len = 0;
    receiver->forks++;
    hf_lock_wake(&receiver->lock);
    hf_lock_release(&receiver->lock);
}

bool receiver_is_vault_lost(struct hf_status status)
{
    return status.info != NULL && vault_is_loss(status.info->reason);
}

void receiver_note_vault(struct receiver *receiver, enum receiver_finder finder,
                         struct hf_status found)
{
    struct receiver_loss *loss = &receiver->losses[finder];
    bool is_lost = receiver_is_vault_lost(found);

    if (!is_lost && !hf_is_ok(found)) {
        return; /* it tells nothing new of the vault */
    }
    hf_lock_take(&receiver->lock);
    copy_text(loss->message, sizeof(loss->message), is_lost ? found.message : "");
    copy_text(loss->reason, sizeof(loss->reason), is_lost ? found.info->reason : "");
    hf_lock_release(&receiver->lock);
}

void receiver_look_at_vault(struct hf_ctx *ctx, struct receiver *receiver)
{
    const struct receiver_hooks *hooks = &receiver->options.hooks;

    if (hooks->on_vault != NULL) {
        receiver_note_vault(receiver, RECEIVER_LOOK, hooks->on_vault(ctx, hooks->arg));
    }
}

struct hf_status receiver_check_vault(struct hf_ctx *ctx, struct receiver *receiver)
{
    struct hf_status status = hf_success();

    hf_lock_take(&receiver->lock);
    for (size_t i = 0; i < RECEIVER_FINDERS && hf_is_ok(status); i++) {
        const struct receiver_loss *loss = &receiver->losses[i];

        if (loss->reason[0] != '\0') {
            status = hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION,
                                  hf_strdup(ctx->arena, loss->reason), NULL, "%s", loss->message);
        }
    }
    hf_lock_release(&receiver->lock);
    return status;
}

enum waiting { WAIT_ON, WAIT_REACHED, WAIT_LOST };

/* Caller holds the lock. */
static enum waiting judge(const struct receiver *receiver, uint32_t timeline, uint64_t lsn)
{
    const struct receiver_status *status = &receiver->status;

    for (size_t i = 0; i < status->gaps_len; i++) {
        const struct vault_wal_range *gap = &status->gaps[i];

        if (gap->timeline == timeline && lsn > gap->from && lsn <= gap->to) {
            return WAIT_LOST;
        }
    }
    if (status->timeline == timeline) {
        return status->durable_lsn >= lsn ? WAIT_REACHED : WAIT_ON;
    }
    for (size_t i = 0; i < receiver->ends_len; i++) {
        if (receiver->ends[i].timeline == timeline) {
            return receiver->ends[i].lsn >= lsn ? WAIT_REACHED : WAIT_LOST;
        }
    }
    return status->timeline > timeline ? WAIT_LOST : WAIT_ON;
}

static struct hf_status check_hopeless(struct hf_ctx *ctx, const struct receiver *receiver,
                                       uint32_t timeline, uint64_t lsn)
{
    if (judge(receiver, timeline, lsn) == WAIT_LOST) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "WAL through %s of timeline %" PRIu32 " will not come: it fell into a gap "
                       "or the timeline ended before",
                       vault_wal_lsn_text(ctx->arena, lsn), timeline);
    }
    if (receiver->status.state == RECEIVER_STOPPED) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "the WAL receiver of %s was stopped",
                       receiver->options.cluster);
    }
    return hf_success();
}

static struct hf_status wait_locked(struct hf_ctx *ctx, struct receiver *receiver,
                                    uint32_t timeline, uint64_t lsn)
{
    uint64_t forks = receiver->forks;

    while (receiver->forks == forks && judge(receiver, timeline, lsn) != WAIT_REACHED) {
        struct hf_status status = hf_ctx_check(ctx);

        if (status.code != HF_OK) {
            return hf_wrap(ctx->arena, status, "waiting for WAL through %s (receiver: %s)",
                           vault_wal_lsn_text(ctx->arena, lsn),
                           receiver->status.error[0] == '\0' ? "streaming"
                                                             : receiver->status.error);
        }
        HF_TRY(check_hopeless(ctx, receiver, timeline, lsn));
        (void)hf_lock_wait(&receiver->lock, hf_ctx_poll_ms(ctx, 200));
    }
    if (receiver->forks != forks) {
        return hf_fail(ctx->arena, HF_ABORTED,
                       "a new lineage of WAL began while waiting for %s: the source's history is "
                       "another one now",
                       vault_wal_lsn_text(ctx->arena, lsn));
    }
    return hf_success();
}

struct hf_status receiver_wait_lsn(struct hf_ctx *ctx, struct receiver *receiver, uint32_t timeline,
                                   uint64_t lsn)
{
    struct hf_status status;

    hf_lock_take(&receiver->lock);
    status = wait_locked(ctx, receiver, timeline, lsn);
    hf_lock_release(&receiver->lock);
    return status;
}
