/* doctor's look at one cluster: does WAL stream, can it be restored, what does the service find,
 * each with the command that mends it by its reason. */
#include "base/fd.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/supervise/doctor.h"
#include "pgwire/dsn.h"
#include "vault/journal.h"

/* Options of `holdfast cluster update` that mend why WAL does not stream. */
static const struct {
    const char *reason;
    const char *options;
} stream_fixes[] = {
    {"TLS_NOT_VERIFIED", "--ca-file FILE"},
    {"CA_MISSING", "--ca-file FILE"},
    {"AUTHENTICATION_FAILED", "--password-file FILE"},
    {"SECRETS_KEY_CHANGED",
     "--password-file FILE  # and its certificates, or put secrets.key back"},
};

static const char *fix_of(struct hf_arena *arena, const char *reason, const char *name)
{
    for (size_t i = 0; i < sizeof(stream_fixes) / sizeof(stream_fixes[0]); i++) {
        if (hf_text_equal(stream_fixes[i].reason, reason)) {
            return hf_printf(arena, "holdfast cluster update %s %s", name, stream_fixes[i].options);
        }
    }
    return NULL;
}

/* By the reason, else a look with psql. A connection string that came before the rules may name a
 * library for libpq to load: none is handed to a person's psql that the service would not take. */
static const char *connect_command(const struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *name = out_short(cluster->name);
    const char *reason = cluster->wal == NULL ? "" : cluster->wal->error_reason;
    const char *fix = fix_of(arena, reason, name);

    if (hf_text_equal(reason, "JOURNAL_ROLLBACK")) {
        return hf_printf(arena,
                         "%s  # when the vault is again as it was; if this older copy is what is "
                         "left of it: holdfast catalog rebuild%s",
                         doctor_restart(doctor), out_where(doctor->cli));
    }
    if (hf_text_equal(reason, "WRONG_KEY") || hf_text_equal(reason, "OLD_KEY_SLOT") ||
        hf_has_prefix(reason, "KEYS_")) {
        return hf_printf(arena,
                         "%s  # when the keys are again those of this vault: %s and tenants/*/keys "
                         "in the vault",
                         doctor_restart(doctor),
                         out_word(arena, hf_path_join(arena, doctor->place.dir, "keys")));
    }
    if (vault_is_loss(reason)) {
        return hf_printf(arena, "%s  # when the vault is again as it was", doctor_restart(doctor));
    }
    if (hf_has_prefix(reason, "ADDRESS_")) {
        fix = hf_printf(arena, "holdfast cluster update %s --dsn DSN", name);
    }
    if (!hf_is_ok(pgwire_dsn_check(arena, cluster->dsn))) {
        fix = hf_printf(arena, "holdfast cluster update %s %s", name,
                        pgwire_dsn_mend(arena, cluster->dsn));
    }
    return fix != NULL ? out_here(doctor->cli, fix)
                       : hf_printf(arena,
                                   "%spsql %s -c 'select 1'  # once that works, the receiver "
                                   "connects by itself",
                                   doctor_as_user(doctor), out_word(arena, cluster->dsn));
}

void doctor_cluster(struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const PbBackup__WalStatus *wal = cluster->wal;
    const char *id = out_short(cluster->name);
    const char *name = hf_printf(arena, "cluster %s", id);
    bool streams =
        wal != NULL && wal->receiver_state == PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING;
    bool has_window = wal != NULL && wal->window_start != NULL;
    bool has_gap = wal != NULL && wal->n_gaps > 0;

    doctor_tell(doctor, streams ? GOOD : BAD, name,
                streams
                    ? "WAL streams"
                    : hf_printf(arena, "WAL does not stream: %s",
                                wal == NULL || hf_text_empty(wal->error) ? "no reason is known yet"
                                                                         : wal->error),
                connect_command(doctor, cluster));
    if (client_is_vault_closed(cluster)) {
        doctor_tell(
            doctor, BAD, name,
            "cannot be restored: the vault does not show the backups that the catalogue knows",
            connect_command(doctor, cluster));
    } else {
        doctor_tell(
            doctor,
            has_window ? GOOD
            : has_gap  ? BAD
                       : WARN,
            name,
            has_window ? "can be restored"
            : has_gap  ? "cannot be restored to now: the vault lacks WAL behind its backups"
                       : "cannot be restored: it has no backup",
            out_here(doctor->cli, hf_printf(arena, "holdfast backup create %s --wait", id)));
    }
    if (!hf_text_empty(cluster->damage)) {
        doctor_tell(doctor, BAD, name,
                    hf_printf(arena, "its stored row is damaged: %s", cluster->damage),
                    out_here(doctor->cli, "holdfast catalog rebuild"));
    }
    for (size_t i = 0; i < cluster->n_findings; i++) {
        const PbBackup__Cluster__Finding *finding = cluster->findings[i];

        doctor_tell(doctor, finding->needs_action ? BAD : WARN, name, finding->message,
                    out_here(doctor->cli, finding->fix));
    }
}
