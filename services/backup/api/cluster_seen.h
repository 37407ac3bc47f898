/* A cluster with all that a reply tells of it: for the files of its handlers. */
#ifndef HF_BACKUP_API_CLUSTER_SEEN_H
#define HF_BACKUP_API_CLUSTER_SEEN_H

#include "backup/api/api.h"
#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "backup/store/clusters.h"
#include "holdfast/backup/v1/backup.pb-c.h"

struct cluster_seen {
    struct cluster_row row;
    struct backups_summary summary;
    struct backup_moment *moments;
    size_t moments_len;
    struct gap_row *gaps;
    size_t gaps_len;
};

/* By name, in a transaction of its own. */
struct hf_status api_load_cluster(struct hf_ctx *ctx, struct api_thread *thread, const char *name,
                                  struct cluster_seen *ret_seen) HF_MUST_USE;
/* The cluster that a request's parent names, with its keys; a damaged row is refused. */
struct hf_status api_load_source(struct hf_ctx *ctx, struct api_thread *thread, const char *parent,
                                 struct source *ret_source) HF_MUST_USE;
void api_fill_cluster(struct hf_ctx *ctx, struct api_thread *thread,
                      const struct cluster_seen *seen, PbBackup__Cluster *cluster);
/* Errors   ABORTED ETAG_MISMATCH it is not the etag of this row */
struct hf_status api_check_etag(struct hf_ctx *ctx, const char *given,
                                const struct cluster_row *row) HF_MUST_USE;

#endif
