/* doctor's look at one cluster: does WAL stream, can it be restored, what does the service find,
 * each with the command that mends it by its reason. */
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/out.h"
#include "cli/supervise/doctor.h"
#include "pgwire/dsn.h"
#include "vault/journal.h"

#define AS_SAID "as said; the receiver goes on by itself"

/* What mends why WAL does not stream: options of `holdfast cluster update`, a look with psql, or
 * what the message says. The first row that fits counts. */
enum fix_kind { FIX_UPDATE, FIX_PSQL, FIX_AS_SAID };
static const struct {
    const char *reason;
    const char *word; /* NULL, or what the message holds, too */
    enum fix_kind kind;
    const char *options;
} stream_fixes[] = {
    {"TLS_NOT_VERIFIED", NULL, FIX_UPDATE, "--ca-file FILE"},
    {"CA_MISSING", NULL, FIX_UPDATE, "--ca-file FILE"},
    {"AUTHENTICATION_FAILED", "pg_hba.conf", FIX_AS_SAID, ""}, /* no password would do */
    {"AUTHENTICATION_FAILED", NULL, FIX_UPDATE, "--password-file FILE"},
    {"SECRETS_KEY_CHANGED", NULL, FIX_UPDATE,
     "--password-file FILE  # and its certificates, or put secrets.key back"},
    {"HOST_UNREACHABLE", NULL, FIX_PSQL, ""},
    {"SERVER_STARTING", NULL, FIX_PSQL, ""},
    {"DATABASE_NOT_FOUND", NULL, FIX_PSQL, ""},
    {"NO_CONNECTION_SLOT", NULL, FIX_PSQL, ""},
};

static const char *fix_of(const struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const PbBackup__WalStatus *wal = cluster->wal;
    enum fix_kind kind = wal == NULL || hf_text_empty(wal->error) ? FIX_PSQL : FIX_AS_SAID;
    const char *options = "";

    for (size_t i = 0; wal != NULL && i < sizeof(stream_fixes) / sizeof(stream_fixes[0]); i++) {
        if (hf_text_equal(stream_fixes[i].reason, wal->error_reason) &&
            (stream_fixes[i].word == NULL || strstr(wal->error, stream_fixes[i].word) != NULL)) {
            kind = stream_fixes[i].kind;
            options = stream_fixes[i].options;
            break;
        }
    }
    switch (kind) {
    case FIX_UPDATE:
        return hf_printf(arena, "holdfast cluster update %s %s", out_short(cluster->name), options);
    case FIX_PSQL:
        return hf_printf(arena,
                         "%spsql %s -c 'select 1'  # once that works, the receiver connects by "
                         "itself",
                         doctor_as_user(doctor), out_word(arena, cluster->dsn));
    case FIX_AS_SAID:
        return AS_SAID;
    }
    return AS_SAID;
}

/* By the reason. A connection string that came before the rules may name a library for libpq to
 * load: none is handed to a person's psql that the service would not take. */
static const char *connect_command(const struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *name = out_short(cluster->name);
    const char *reason = cluster->wal == NULL ? "" : cluster->wal->error_reason;

    if (hf_text_equal(reason, "JOURNAL_ROLLBACK")) {
        return hf_printf(arena,
                         "%s  # when the vault is again as it was; if this older copy is what is "
                         "left of it: holdfast catalog rebuild --accept-rollback%s",
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
    const char *fix = hf_text_empty(cluster->dsn)
                          ? hf_printf(arena, "holdfast cluster add %s --dsn DSN", name)
                      : !hf_is_ok(pgwire_dsn_check(arena, cluster->dsn))
                          ? hf_printf(arena, "holdfast cluster update %s %s", name,
                                      pgwire_dsn_mend(arena, cluster->dsn))
                      : hf_has_prefix(reason, "ADDRESS_")
                          ? hf_printf(arena, "holdfast cluster update %s --dsn DSN", name)
                          : fix_of(doctor, cluster);

    return out_here(doctor->cli, fix);
}

static void check_stream(struct doctor *doctor, const PbBackup__Cluster *cluster, const char *name)
{
    const PbBackup__WalStatus *wal = cluster->wal;
    bool streams =
        wal != NULL && wal->receiver_state == PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING;
    const char *why = hf_text_empty(cluster->dsn)                ? "nobody has said where it is"
                      : wal == NULL || hf_text_empty(wal->error) ? "no reason is known yet"
                                                                 : wal->error;

    doctor_tell(doctor, streams ? GOOD : BAD, name,
                streams ? "WAL streams"
                        : hf_printf(doctor->cli->ctx.arena, "WAL does not stream: %s", why),
                connect_command(doctor, cluster));
}

static void check_window(struct doctor *doctor, const PbBackup__Cluster *cluster, const char *name)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const PbBackup__WalStatus *wal = cluster->wal;
    bool has_window = wal != NULL && wal->window_start != NULL;
    bool has_gap = wal != NULL && wal->n_gaps > 0;

    if (client_is_vault_closed(cluster)) {
        doctor_tell(
            doctor, BAD, name,
            "cannot be restored: the vault does not show the backups that the catalogue knows",
            connect_command(doctor, cluster));
        return;
    }
    doctor_tell(doctor,
                has_window ? GOOD
                : has_gap  ? BAD
                           : WARN,
                name,
                has_window ? "can be restored"
                : has_gap  ? "cannot be restored to now: the vault lacks WAL behind its backups"
                           : "cannot be restored: it has no backup",
                out_here(doctor->cli, hf_printf(arena, "holdfast backup create %s --wait",
                                                out_short(cluster->name))));
}

void doctor_cluster(struct doctor *doctor, const PbBackup__Cluster *cluster)
{
    struct hf_arena *arena = doctor->cli->ctx.arena;
    const char *name = hf_printf(arena, "cluster %s", out_short(cluster->name));

    check_stream(doctor, cluster, name);
    check_window(doctor, cluster, name);
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
