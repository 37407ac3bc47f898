/* From the base backup's tar events to a vault session: which members are stored, under which path,
 * and which are facts of the root instead (backup_label, tablespace_map). What no honest server
 * sends is DATA_LOSS here, so that no vault holds what no restore would take: a link that is not a
 * tablespace's, a member whose directory was not sent before it, a file that is a directory, too.
 */
#ifndef HF_BACKUP_WORK_CAPTURE_H
#define HF_BACKUP_WORK_CAPTURE_H

#include "base/buf.h"
#include "base/ctx.h"
#include "base/map.h"
#include "pgwire/basebackup.h"
#include "vault/session.h"

struct capture {
    struct hf_ctx *ctx;            /* its arena is reset by the owner between members */
    struct vault_session *session; /* borrowed */
    uint32_t archive;              /* oid of the tablespace being read, 0: data directory */
    struct hf_map *dirs;           /* paths of directories seen, as they are stored */
    struct hf_buf label;
    struct hf_buf tablespace_map;
    struct hf_buf *fact; /* the member in progress is a fact and goes here */
    bool is_skipped;     /* the member in progress is not stored */
    bool is_file;
    struct pgwire_backup_start start;
    /* Told after each protocol message; may be NULL. */
    struct hf_status (*on_progress)(void *arg, uint64_t received_bytes, uint64_t total_bytes);
    void *progress_arg;
};

void capture_init(struct capture *capture, struct hf_ctx *ctx, struct vault_session *session);
void capture_done(struct capture *capture);
struct pgwire_backup_events capture_events(struct capture *capture);

#endif
