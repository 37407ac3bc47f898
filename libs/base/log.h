/* JSON lines to stderr: event name + typed fields, no prose, no secrets. Only edges log: RPC
 * server, worker, reconciler, main. Below them return a status.
 *
 *   hf_warn(ctx, HF_EVENT("backup.retried"), HF_TEXT("backup", id), HF_INT("attempt", n));
 *
 * A line that others can cause at will must not fill a disk: each event has 10 lines a second and
 * 200 at once; the next one that is written says in `suppressed` how many were not. `dropped` says
 * the same of lines that stderr did not take (a full disk, a full pipe).
 *
 * Threads: any; a line is one write(2). ctx may be NULL.
 */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stdint.h>

#include "base/ctx.h"

enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARN, HF_LOG_ERROR };
enum hf_log_kind { HF_FIELD_END, HF_FIELD_EVENT, HF_FIELD_TEXT, HF_FIELD_INT };

struct hf_field {
    enum hf_log_kind kind;
    const char *key;
    const char *text;
    int64_t number;
};

#define HF_EVENT(name) ((struct hf_field){HF_FIELD_EVENT, "event", (name), 0})
#define HF_TEXT(key, value) ((struct hf_field){HF_FIELD_TEXT, (key), (value), 0})
#define HF_INT(key, value) ((struct hf_field){HF_FIELD_INT, (key), NULL, (int64_t)(value)})

#define hf_log(level, ctx, ...)                                                                    \
    hf_log_fields((level), (ctx),                                                                  \
                  (const struct hf_field[]){__VA_ARGS__, {HF_FIELD_END, NULL, NULL, 0}})
#define hf_debug(ctx, ...) hf_log(HF_LOG_DEBUG, (ctx), __VA_ARGS__)
#define hf_info(ctx, ...) hf_log(HF_LOG_INFO, (ctx), __VA_ARGS__)
#define hf_warn(ctx, ...) hf_log(HF_LOG_WARN, (ctx), __VA_ARGS__)
#define hf_error(ctx, ...) hf_log(HF_LOG_ERROR, (ctx), __VA_ARGS__)

void hf_log_fields(enum hf_log_level level, const struct hf_ctx *ctx,
                   const struct hf_field *fields);
/* Lines below level are dropped; INFO at start. component becomes a field of every line. */
void hf_log_setup(enum hf_log_level level, const char *component);

#endif
