/* Bytes of the digest cache, shared by its reader and writer. Inside libs/vault only.
 *
 * The file is a row of packs ("volumes") of VOLUME_BLOBS blobs, the last one shorter, then a
 * directory: be64 length of each volume, be32 count, magic. Blobs count through the volumes:
 * digests in the order of files, the index sorted by path key, one foot. The directory is not
 * sealed; the foot names the volumes' ids in order, so a tampered directory opens nothing.
 */
#ifndef HF_VAULT_DIGESTS_FILE_H
#define HF_VAULT_DIGESTS_FILE_H

#include "vault/digests.h"

#define CACHE_VERSION 1
#define CACHE_MAGIC "HFDC"
#define CACHE_VOLUME_BLOBS 512u
#define CACHE_BLOB_DIGESTS 16384u /* 256 KiB */
#define CACHE_BLOB_FILES 7000u
#define CACHE_FILE_LEN (VAULT_ID_LEN + VAULT_ATTR_LEN + 8 + 4)
#define CACHE_VOLUMES_MAX 65536u

/* "<path>.next" */
char *vault_digests_next_path(struct hf_arena *arena, const char *path);

#endif
