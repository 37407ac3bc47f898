/* Rows to messages. Everything in the arena; generated messages want char *, so texts are copied.
 */
#ifndef HF_BACKUP_API_CONVERT_H
#define HF_BACKUP_API_CONVERT_H

#include "backup/source/receiver.h"
#include "backup/store/types.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "jobs/jobs.h"

/* Of any text of a reply: more is stored of none. */
#define CONVERT_TEXT_MAX 16384
/* Fit for a screen, whatever stands in the row; NULL becomes "". */
char *convert_text(struct hf_arena *arena, const char *text);
/* NULL for 0. */
Google__Protobuf__Timestamp *convert_time(struct hf_arena *arena, int64_t time_us);
char *convert_lsn(struct hf_arena *arena, uint64_t lsn); /* "" for 0 */

void convert_cluster(struct hf_arena *arena, const char *tenant, const struct cluster_row *row,
                     PbBackup__Cluster *ret_cluster);
void convert_backup(struct hf_arena *arena, const char *tenant, const struct backup_row *row,
                    PbBackup__Backup *ret_backup);
void convert_restore(struct hf_arena *arena, const char *tenant, const struct restore_row *row,
                     PbBackup__Restore *ret_restore);
void convert_job(struct hf_arena *arena, const char *tenant, const struct jobs_job *job,
                 PbJobs__Job *ret_job);
/* The last ones, in their order: a receiver knows those of its own life only. */
void convert_gaps(struct hf_arena *arena, const struct gap_row *newest_first, size_t len,
                  PbBackup__WalStatus *ret_wal);
/* What the receiver says; window, gaps and slot are filled by the caller. */
void convert_wal(struct hf_arena *arena, const char *tenant, const struct cluster_row *row,
                 const struct receiver_status *seen, int64_t now_us, PbBackup__WalStatus *ret_wal);

/* Lines of text to a repeated string. */
void convert_lines(struct hf_arena *arena, const char *lines, size_t *ret_len, char ***ret_items);

#endif
