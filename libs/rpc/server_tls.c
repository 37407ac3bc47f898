/* Server credentials that follow their files. Core asks for the certificates at every handshake;
 * they are read again when a file has changed. Surprise: files are replaced one by one, so a key
 * that does not fit its certificate yet is passed over, and asked for again next time. */
#include <sys/stat.h>

#include "base/log.h"
#include "rpc/server_core.h"

#define ARENA_BYTES (8 * 1024 * 1024)

static bool has_changed(struct rpc_server_tls *tls, bool is_to_note)
{
    const char *const paths[] = {tls->files->ca_file, tls->files->cert_file, tls->files->key_file};
    bool is_changed = false;
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0) {
            continue;
        }
        int64_t mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        is_changed |= mtime_ns != tls->seen[i].mtime_ns || st.st_size != tls->seen[i].size ||
                      st.st_ino != tls->seen[i].inode;
        if (is_to_note) {
            tls->seen[i].mtime_ns = mtime_ns;
            tls->seen[i].size = st.st_size;
            tls->seen[i].inode = st.st_ino;
        }
    }
    return is_changed;
}

static grpc_ssl_server_certificate_config *load(struct rpc_server_tls *tls)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct rpc_tls_pem pem = {NULL, NULL, NULL};
    struct hf_status status = rpc_tls_load(arena, tls->files, &pem);
    if (hf_is_ok(status)) {
        status = rpc_tls_judge(arena, tls->files, &pem);
    }
    if (!hf_is_ok(status)) {
        hf_warn(NULL, HF_EVENT("rpc.certificates_refused"), HF_TEXT("error", status.message));
        return NULL;
    }
    const grpc_ssl_pem_key_cert_pair pair = {pem.key, pem.cert};
    return grpc_ssl_server_certificate_config_create(pem.ca, &pair, 1);
}

static grpc_ssl_certificate_config_reload_status
fetch(void *data, grpc_ssl_server_certificate_config **ret_config)
{
    struct rpc_server_tls *tls = data;
    grpc_ssl_certificate_config_reload_status result = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    hf_lock_take(&tls->lock);
    if (!tls->is_loaded || has_changed(tls, false)) {
        /* Noted before reading: a change during the read is seen at the next handshake. */
        (void)has_changed(tls, true);
        grpc_ssl_server_certificate_config *config = load(tls);
        if (config != NULL) {
            *ret_config = config;
            tls->is_loaded = true;
            result = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
        } else {
            tls->seen[0].inode = 0; /* ask again */
            result = tls->is_loaded ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED
                                    : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
        }
    }
    hf_lock_release(&tls->lock);
    return result;
}

grpc_server_credentials *rpc_server_tls_new(struct rpc_server_tls *tls,
                                            const struct rpc_tls_files *files)
{
    hf_lock_init(&tls->lock);
    tls->files = files;
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, tls));
}

void rpc_server_tls_done(struct rpc_server_tls *tls)
{
    hf_lock_done(&tls->lock);
}
