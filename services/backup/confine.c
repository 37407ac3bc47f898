/* The lists of landlock for this service. */
#include "backup/confine.h"

#include <string.h>

#include "backup/config.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"

static const char *const of_system[] = {SVC_CONFINE_SYSTEM};
static const char *const linked[] = {SVC_CONFINE_LINKED, NULL};

static const char *dir_of(struct hf_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL   ? "."
           : slash == path ? "/"
                           : hf_strndup(arena, path, (size_t)(slash - path));
}

/* Those that are configured; what is missing is said by the service's own check. */
static const char *const *dirs_of(struct hf_arena *arena, const char *const *files, size_t len)
{
    const char **paths = HF_NEW_N(arena, const char *, len + HF_LEN(of_system) + 1);
    size_t n = 0;

    for (size_t i = 0; i < HF_LEN(of_system); i++) {
        paths[n++] = of_system[i];
    }
    for (size_t i = 0; i < len; i++) {
        if (!hf_text_empty(files[i])) {
            paths[n++] = dir_of(arena, files[i]);
        }
    }
    return paths;
}

static struct hf_status made_dirs(struct hf_arena *arena, const struct backup_config *config,
                                  const char *const **ret_paths)
{
    const char *const dirs[] = {
        config->vault_dir, config->cache_dir, config->run_dir,
        hf_text_empty(config->epoch_file) ? NULL : dir_of(arena, config->epoch_file)};
    const char **paths = HF_NEW_N(arena, const char *, HF_LEN(dirs) + 1);
    size_t n = 0;

    for (size_t i = 0; i < HF_LEN(dirs); i++) {
        if (!hf_text_empty(dirs[i])) {
            HF_TRY(hf_make_dirs(arena, dirs[i], 0700));
            paths[n++] = dirs[i];
        }
    }
    *ret_paths = paths;
    return hf_success();
}

struct hf_status backup_confine(struct hf_arena *arena, const void *config,
                                struct svc_confine_rules *ret_rules)
{
    const struct backup_config *backup = config;
    const char *const files[] = {
        backup->tls_ca,           backup->tls_cert,           backup->tls_key,
        backup->vault_key_file,   backup->signing_key_file,   backup->escrow_key_file,
        backup->secrets_key_file, backup->metrics_token_file, backup->redis_password_file,
    };
    struct svc_confine_rules rules = {.read = dirs_of(arena, files, HF_LEN(files)),
                                      .linked = linked};

    HF_TRY(made_dirs(arena, backup, &rules.write));
    *ret_rules = rules;
    return hf_success();
}
