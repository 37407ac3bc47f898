/* Meaning of single WAL records, for walrec.c: transaction ends and a few of the XLOG kind. Pure.
 */
#ifndef HF_PGFORMAT_XACT_H
#define HF_PGFORMAT_XACT_H

#include <stdbool.h>

#include "base/str.h"
#include "pgformat/walrec.h"

#define PGF_RESTORE_POINT_MAX 64

/* Holds a restore point's name until the next record. */
struct pgf_xact_scratch {
    char name[PGF_RESTORE_POINT_MAX + 1];
};

/* Whether the payload of such a record is worth keeping; by rmid and info. */
bool pgf_xact_is_wanted(const struct pgf_walrec *rec);

/* Fill what, time_us, ended_xid, point_lsn, timeline and name from the payload (all bytes after the
 * record header). Payloads that make no sense leave what as it is told by the header, and zeros. */
void pgf_xact_decode(struct pgf_xact_scratch *scratch, int server_major, struct hf_bytes payload,
                     struct pgf_walrec *rec);

#endif
