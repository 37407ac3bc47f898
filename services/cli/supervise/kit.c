/* A takeover by the kit, and what is there after a crash behind each step:
 *
 *   step                                      vault.key    vault.key.new   slots
 *   1  a new key is made beside the kit       kit          key             old: opened by the kit
 *   2  each tenant's next slot is written     kit          key             by the key, or the kit
 *   3  the new key takes the kit's name       key          -               by the key
 *
 * Until 3 the next `up` finds the kit and goes on with the key that is there. */
#include "cli/supervise/kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/out.h"
#include "cli/processes.h"
#include "cli/supervise/supervisor.h"
#include "vault/kit.h"
#include "vault/marker.h"

/* --- making --------------------------------------------------------------------------------- */

static struct hf_status write_kit(struct hf_ctx *ctx, const struct place *place,
                                  const char *private_text)
{
    const char *path = hf_path_join(ctx->arena, place->dir, KIT_FILE);
    const char *text = hf_printf(
        ctx->arena,
        "HOLDFAST RECOVERY KIT of installation %s\n\n"
        "Keep this away from the machine and from the vault: print it, or put it into a safe.\n"
        "Whoever has this key and the vault can read every backup. When %s/vault.key\n"
        "is lost, this key is the only way to the backups. A file with this text (mode 600)\n"
        "reads them as a --key-file; in the place of the lost keys/vault.key it lets\n"
        "`holdfast up` make a new one.\n\n"
        "escrow private key: %s\n",
        place->settings.install_id, place->keys, private_text);

    /* One that is there is of a first run that was cut off before its public half was kept. */
    return hf_replace_file(ctx->arena, path, text, strlen(text), 0600);
}

static const char *escrow_path(struct hf_ctx *ctx, const struct place *place)
{
    return hf_path_join(ctx->arena, place->keys, "escrow.pub");
}

static struct hf_status write_escrow(struct hf_ctx *ctx, const struct place *place,
                                     const uint8_t public_key[VAULT_KEY_LEN])
{
    const char *text = hf_printf(ctx->arena, "%s\n", hf_hex(ctx->arena, public_key, VAULT_KEY_LEN));

    return hf_create_file(ctx->arena, escrow_path(ctx, place), text, strlen(text), 0600);
}

struct hf_status kit_make(struct hf_ctx *ctx, const struct place *place)
{
    char *private_text = NULL;
    uint8_t public_key[VAULT_KEY_LEN];

    if (hf_path_exists(escrow_path(ctx, place))) {
        return hf_success();
    }
    HF_TRY(vault_escrow_make(ctx, &private_text, public_key));
    HF_TRY(write_kit(ctx, place, private_text));
    explicit_bzero(private_text, strlen(private_text));
    return write_escrow(ctx, place, public_key);
}

/* --- taking --------------------------------------------------------------------------------- */

struct takeover {
    const struct place *place;
    const char *path;     /* keys/vault.key */
    const char *new_path; /* the key that takes its name */
    struct vault_key kit;
    uint8_t kek[VAULT_KEY_LEN];
    uint8_t escrow[VAULT_KEY_LEN];
    struct hf_status unopened; /* of a tenant that the kit does not open */
};

static struct hf_status refuse(struct hf_ctx *ctx, const struct takeover *takeover, const char *why)
{
    const char *const metadata[] = {"file", takeover->path, NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "KIT_REFUSED", metadata,
                        "%s is a recovery kit that opens nothing in %s/vault: %s", takeover->path,
                        takeover->place->dir, why);
}

/* A supervisor that is gone may have left the service running. */
static struct hf_status check_stopped(struct hf_ctx *ctx, const struct place *place)
{
    const struct process_entry *entries = NULL;
    size_t len = 0;

    HF_TRY(processes_load(ctx, place->dir, &entries, &len));
    const struct process_entry *service = processes_find(entries, len, "backup");

    if (!supervisor_find(ctx, place).is_held && (service == NULL || !service->is_alive)) {
        return hf_success();
    }
    const char *dir = out_word(ctx->arena, place->dir);

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "STILL_RUNS", NULL,
                        "a key is made of a recovery kit while nothing runs: `holdfast down --dir "
                        "%s && holdfast up --dir %s`",
                        dir, dir);
}

/* The one that slots are escrowed to: this installation's, for that is what the service writes. */
static struct hf_status load_escrow(struct hf_ctx *ctx, struct takeover *takeover)
{
    const char *path = escrow_path(ctx, takeover->place);
    uint8_t own[VAULT_KEY_LEN];

    vault_kit_public(&takeover->kit, own);
    if (!hf_path_exists(path)) {
        memcpy(takeover->escrow, own, sizeof(own));
        return hf_success();
    }
    HF_TRY(vault_escrow_load(ctx, path, takeover->escrow));
    if (memcmp(own, takeover->escrow, sizeof(own)) != 0) {
        fprintf(stderr, "this recovery kit is of another installation: from now on the vault is "
                        "opened by this one's\n");
    }
    return hf_success();
}

/* kek NULL: only asks. */
static struct hf_status write_slots(struct hf_ctx *ctx, struct takeover *takeover,
                                    const uint8_t *kek)
{
    HF_CLEANUP(objstore_free) struct objstore *vault = NULL;
    const char *dir = hf_path_join(ctx->arena, takeover->place->dir, "vault");
    const struct vault_realm_options options = {
        .kek = kek,
        .escrow_public = (const uint8_t(*)[VAULT_KEY_LEN]) & takeover->escrow,
    };
    struct vault_marker marker;

    HF_TRY(objstore_local_open(ctx, dir, false, &vault));
    struct hf_status status = vault_check(ctx, vault, &marker);

    if (hf_is_ok(status)) {
        status = vault_kit_takeover(ctx, vault, &takeover->kit, &options, &takeover->unopened);
    }
    return status.code == HF_FAILED_PRECONDITION || status.code == HF_NOT_FOUND
               ? refuse(ctx, takeover, status.message)
               : status;
}

/* A key is made when it is known that it will be used. */
static struct hf_status make_key(struct hf_ctx *ctx, struct takeover *takeover)
{
    if (!hf_path_exists(takeover->new_path)) {
        HF_TRY(write_slots(ctx, takeover, NULL));
        HF_TRY(vault_kek_make(ctx, takeover->new_path));
    }
    return vault_kek_load(ctx, takeover->new_path, takeover->kek);
}

static struct hf_status take(struct hf_ctx *ctx, struct takeover *takeover)
{
    const struct place *place = takeover->place;

    HF_TRY(check_stopped(ctx, place));
    HF_TRY(load_escrow(ctx, takeover));
    HF_TRY(make_key(ctx, takeover));
    HF_TRY(write_slots(ctx, takeover, takeover->kek));
    if (!hf_path_exists(escrow_path(ctx, place))) {
        HF_TRY(write_escrow(ctx, place, takeover->escrow));
    }
    if (rename(takeover->new_path, takeover->path) != 0) {
        return hf_fail_errno(ctx->arena, errno, "renaming %s", takeover->new_path);
    }
    HF_TRY(hf_fsync_dir(ctx->arena, place->keys));
    fprintf(stderr,
            "made a new %s of the recovery kit that was there: copy it to another place; copies "
            "of the lost one open nothing that is stored from now on\n",
            takeover->path);
    if (!hf_is_ok(takeover->unopened)) {
        fprintf(stderr, "the kit does not open all tenants: %s\n", takeover->unopened.message);
    }
    return hf_success();
}

struct hf_status kit_take(struct hf_ctx *ctx, const struct place *place)
{
    const char *path = hf_path_join(ctx->arena, place->keys, "vault.key");
    struct takeover takeover = {
        .place = place, .path = path, .new_path = hf_printf(ctx->arena, "%s.new", path)};

    if (!hf_path_exists(path)) {
        return hf_success();
    }
    struct hf_status status = vault_key_load(ctx, path, &takeover.kit);

    if (hf_is_ok(status) && takeover.kit.is_kit) {
        status = take(ctx, &takeover);
    }
    explicit_bzero(&takeover, sizeof(takeover));
    return status;
}
