/* What the service may touch once its configuration is read. */
#ifndef HF_BACKUP_CONFINE_H
#define HF_BACKUP_CONFINE_H

#include "base/arena.h"
#include "base/status.h"
#include "svc/confine.h"

/* config is a struct backup_config. The vault and the cache are made when they are not there:
 * afterwards they could not be. Files that are replaced (certificates, the epoch) are given by
 * their directory. Keys are only read: an epoch file that an earlier release kept beside them is
 * carried to where it is configured, for afterwards it could not be. */
struct hf_status backup_confine(struct hf_arena *arena, const void *config,
                                struct svc_confine_rules *ret_rules) HF_MUST_USE;

#endif
