/* Watches: one thread polls the revisions of all watched jobs, woken by changes of this process and
 * otherwise every 250 ms. No row carries a watch, nothing is notified: a change by another process
 * is seen by its revision. */
#include <string.h>

#include "jobs/internal.h"

#define WATCHES_MAX 10000
#define PAGE_MAX 500
#define SPACING_MS 10
#define STEP_MS 5000

struct jobs_watch {
    struct jobs_watch_hub *hub;
    struct jobs_watch *next;
    char tenant[JOBS_UUID_SIZE];
    char id[JOBS_UUID_SIZE];
    int64_t revision; /* last one told; 0: none yet */
    jobs_watch_fn fn;
    void *arg;
    bool is_ended;
};

struct jobs_watch_hub {
    struct hf_lock watches_lock; /* guards: */
    struct jobs_watch *watches;
    struct jobs_watch *current; /* its fn runs */
    size_t len;
    bool is_woken;

    struct jobs *jobs;
    struct jobs_trouble trouble; /* of the thread */
    struct hf_cancel stop;
    struct hf_thread *thread;
};

struct page {
    const char *tenant;
    const char *ids[PAGE_MAX];
    const char *revisions[PAGE_MAX];
    size_t len;
};

static bool is_listed(const struct page *page, const char *id)
{
    for (size_t i = 0; i < page->len; i++) {
        if (strcmp(page->ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

/* Up to PAGE_MAX jobs of one tenant, from the list's position *from on; NULL when there are no
 * more. A watch added or removed meanwhile only means that another pass sees it. */
static struct page *next_page(struct hf_ctx *ctx, struct jobs_watch_hub *hub, size_t *from)
{
    struct page *page = NULL;
    size_t place = 0;

    hf_lock_take(&hub->watches_lock);
    for (struct jobs_watch *watch = hub->watches; watch != NULL; watch = watch->next, place++) {
        if (place < *from || watch->is_ended) {
            continue;
        }
        if (page == NULL) {
            page = HF_NEW(ctx->arena, struct page);
            page->tenant = hf_strdup(ctx->arena, watch->tenant);
        }
        if (page->len == PAGE_MAX || strcmp(page->tenant, watch->tenant) != 0) {
            break;
        }
        if (!is_listed(page, watch->id)) {
            page->ids[page->len] = hf_strdup(ctx->arena, watch->id);
            page->revisions[page->len] = hf_printf(ctx->arena, "%lld", (long long)watch->revision);
            page->len++;
        }
    }
    *from = place;
    hf_lock_release(&hub->watches_lock);
    return page;
}

/* The next watch of the job that has not heard of this revision; marks it as being called. */
static struct jobs_watch *take_next(struct jobs_watch_hub *hub, const char *id, int64_t revision)
{
    struct jobs_watch *found = NULL;

    hf_lock_take(&hub->watches_lock);
    for (struct jobs_watch *watch = hub->watches; watch != NULL && found == NULL;
         watch = watch->next) {
        if (!watch->is_ended && watch->revision != revision && strcmp(watch->id, id) == 0) {
            watch->revision = revision;
            found = watch;
        }
    }
    hub->current = found;
    hf_lock_release(&hub->watches_lock);
    return found;
}

/* job NULL: it is gone. */
static void tell_all(struct jobs_watch_hub *hub, const char *id, const struct jobs_job *job)
{
    for (;;) {
        struct jobs_watch *watch = take_next(hub, id, job == NULL ? -1 : job->revision);
        if (watch == NULL) {
            return;
        }
        bool is_kept = watch->fn(job, hf_success(), watch->arg);
        hf_lock_take(&hub->watches_lock);
        watch->is_ended = !is_kept || job == NULL;
        hub->current = NULL;
        hf_lock_wake(&hub->watches_lock);
        hf_lock_release(&hub->watches_lock);
    }
}

static bool is_among(const struct db_rows *rows, const char *id)
{
    for (size_t i = 0; i < db_len(rows); i++) {
        struct jobs_job job;
        jobs_decode(rows, i, &job);
        if (strcmp(job.id, id) == 0) {
            return true;
        }
    }
    return false;
}

static struct hf_status poll_page(struct hf_ctx *ctx, struct jobs_watch_hub *hub,
                                  const struct page *page)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_tx_begin(ctx, hub->jobs->options.app_db, page->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_changed,
                    DB_ARGS(DB_LIST(page->ids, page->len), DB_LIST(page->revisions, page->len)),
                    &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    for (size_t i = 0; i < db_len(rows); i++) {
        struct jobs_job job;
        jobs_decode(rows, i, &job);
        tell_all(hub, job.id, &job);
    }
    for (size_t i = 0; i < page->len; i++) {
        if (strcmp(page->revisions[i], "0") == 0 && !is_among(rows, page->ids[i])) {
            tell_all(hub, page->ids[i], NULL);
        }
    }
    return hf_success();
}

static void poll_all(struct jobs_watch_hub *hub)
{
    size_t from = 0;

    for (;;) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
        struct hf_ctx ctx = jobs_step_ctx(arena, &hub->stop, STEP_MS);
        struct page *page = next_page(&ctx, hub, &from);
        if (page == NULL) {
            return;
        }
        struct hf_status status = poll_page(&ctx, hub, page);
        jobs_trouble_note(&ctx, &hub->trouble, "jobs.watch_failed", status);
        if (!hf_is_ok(status)) {
            return;
        }
    }
}

static void watch_main(void *arg)
{
    struct jobs_watch_hub *hub = arg;

    while (!atomic_load(&hub->stop.is_set)) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
        struct hf_ctx ctx = {.arena = arena, .stop = &hub->stop};
        poll_all(hub);
        struct hf_status ignored = hf_ctx_sleep(&ctx, SPACING_MS);
        (void)ignored;
        hf_lock_take(&hub->watches_lock);
        if (!hub->is_woken && !atomic_load(&hub->stop.is_set)) {
            hf_lock_wait(&hub->watches_lock, hub->len == 0 ? 1000 : JOBS_SWEEP_MS);
        }
        hub->is_woken = false;
        hf_lock_release(&hub->watches_lock);
    }
}

struct jobs_watch_hub *jobs_watch_hub_new(struct jobs *jobs)
{
    struct jobs_watch_hub *hub = hf_heap_alloc(sizeof(*hub));

    hf_lock_init(&hub->watches_lock);
    hub->jobs = jobs;
    return hub;
}

void jobs_watch_hub_start(struct jobs_watch_hub *hub)
{
    if (hub->thread == NULL) {
        hub->thread = hf_thread_start("jobs-watch", watch_main, hub);
    }
}

void jobs_watch_hub_stop(struct jobs_watch_hub *hub)
{
    atomic_store(&hub->stop.is_set, true);
    jobs_watch_hub_wake(hub);
    hf_thread_join(HF_TAKE(hub->thread));
}

void jobs_watch_hub_free(struct jobs_watch_hub *hub)
{
    jobs_watch_hub_stop(hub);
    while (hub->watches != NULL) {
        struct jobs_watch *watch = hub->watches;
        hub->watches = watch->next;
        hf_heap_free(watch);
    }
    hf_lock_done(&hub->watches_lock);
    hf_heap_free(hub);
}

void jobs_watch_hub_wake(struct jobs_watch_hub *hub)
{
    hf_lock_take(&hub->watches_lock);
    hub->is_woken = true;
    hf_lock_wake(&hub->watches_lock);
    hf_lock_release(&hub->watches_lock);
}

static struct hf_status check_job(struct hf_ctx *ctx, struct jobs *jobs, const char *tenant_id,
                                  const char *id)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct jobs_job job;

    HF_TRY(db_tx_begin(ctx, jobs->options.app_db, tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_get(ctx, tx, id, &job));
    return db_tx_commit(ctx, &tx);
}

static bool add_watch(struct jobs_watch_hub *hub, struct jobs_watch *watch)
{
    hf_lock_take(&hub->watches_lock);
    bool is_added = hub->len < WATCHES_MAX;
    if (is_added) {
        watch->next = hub->watches;
        hub->watches = watch;
        hub->len++;
        hub->is_woken = true;
        hf_lock_wake(&hub->watches_lock);
    }
    hf_lock_release(&hub->watches_lock);
    return is_added;
}

struct hf_status jobs_watch_open(struct hf_ctx *ctx, struct jobs *jobs, const char *tenant_id,
                                 const char *id, const struct jobs_watcher *watcher,
                                 struct jobs_watch **ret_watch)
{
    struct hf_uuid uuid;

    HF_TRY(check_job(ctx, jobs, tenant_id, id));
    struct jobs_watch *watch = hf_heap_alloc(sizeof(*watch));
    *watch = (struct jobs_watch){.hub = jobs->watch, .fn = watcher->fn, .arg = watcher->arg};
    /* Both were accepted by the database; the normal form is what its rows carry. */
    if (hf_uuid_parse(tenant_id, &uuid) == 0) {
        hf_uuid_text(&uuid, watch->tenant);
    }
    if (hf_uuid_parse(id, &uuid) == 0) {
        hf_uuid_text(&uuid, watch->id);
    }
    if (!add_watch(jobs->watch, watch)) {
        hf_heap_free(watch);
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "there are %d watches already",
                       WATCHES_MAX);
    }
    *ret_watch = watch;
    return hf_success();
}

void jobs_unwatch(struct jobs_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct jobs_watch_hub *hub = watch->hub;
    hf_lock_take(&hub->watches_lock);
    while (hub->current == watch) {
        hf_lock_wait(&hub->watches_lock, 1000);
    }
    struct jobs_watch **place = &hub->watches;
    while (*place != watch) {
        place = &(*place)->next;
    }
    *place = watch->next;
    hub->len--;
    hf_lock_release(&hub->watches_lock);
    hf_heap_free(watch);
}
