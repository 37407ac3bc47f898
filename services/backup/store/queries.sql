-- Every statement of the backup service, one name each; parameters are always bound. Row-level
-- security narrows all of them to the tenant of the transaction; $1 is the tenant again, so that
-- primary keys are used.

-- name: cluster_insert
-- params: tenant, id, name, dsn, password_sealed, system_identifier, server_version, segment_bytes,
--         lineage, slot, warnings, size_bytes, slot_is_unbounded, ca, cert, key, is_operator_made
INSERT INTO backup.clusters (tenant_id, id, name, dsn, password_sealed, system_identifier,
                             server_version, segment_bytes, lineage, slot, warnings, size_bytes,
                             slot_is_unbounded, ca_sealed, cert_sealed, key_sealed,
                             is_operator_made)
VALUES ($1::uuid, $2::uuid, $3, $4, $5::bytea, $6, $7::integer, $8::bigint, $9, $10, $11,
        $12::bigint, $13::boolean, $14::bytea, $15::bytea, $16::bytea, $17::boolean)

-- name: cluster_room_lock
-- Who adds a cluster holds it until his transaction ends: what is counted under it is all there is.
SELECT pg_advisory_xact_lock('backup.clusters'::regclass::bigint)

-- name: cluster_count
-- For the dispatch role; params: tenant. Clusters that have a receiver: of the tenant, of all.
SELECT count(*) FILTER (WHERE tenant_id = $1::uuid), count(*)
FROM backup.clusters
WHERE delete_time IS NULL AND slot <> ''

-- name: cluster_by_name
SELECT id::text, name, left(dsn, 4097), substring(password_sealed FOR 131073),
       left(system_identifier, 21), server_version, segment_bytes, left(lineage, 41), left(slot, 64),
       left(warnings, 16385), size_bytes, next_pack, journal_head, substring(journal_hash FOR 65),
       create_time, revision, slot_is_unbounded, substring(ca_sealed FOR 600001),
       substring(cert_sealed FOR 131073), substring(key_sealed FOR 131073), is_operator_made
FROM backup.clusters
WHERE tenant_id = $1::uuid AND name = $2 AND delete_time IS NULL

-- name: cluster_by_id
SELECT id::text, name, left(dsn, 4097), substring(password_sealed FOR 131073),
       left(system_identifier, 21), server_version, segment_bytes, left(lineage, 41), left(slot, 64),
       left(warnings, 16385), size_bytes, next_pack, journal_head, substring(journal_hash FOR 65),
       create_time, revision, slot_is_unbounded, substring(ca_sealed FOR 600001),
       substring(cert_sealed FOR 131073), substring(key_sealed FOR 131073), is_operator_made
FROM backup.clusters
WHERE tenant_id = $1::uuid AND id = $2::uuid AND delete_time IS NULL

-- name: cluster_lock
-- Who decides over a cluster's backups decides alone; rows that refer to it may still come.
SELECT id::text
FROM backup.clusters
WHERE tenant_id = $1::uuid AND id = $2::uuid AND delete_time IS NULL
FOR NO KEY UPDATE

-- name: cluster_list
-- params: tenant, after name, limit. Of certificates only whether there are any: they are large.
SELECT id::text, name, left(dsn, 4097), substring(password_sealed FOR 131073),
       left(system_identifier, 21), server_version, segment_bytes, left(lineage, 41), left(slot, 64),
       left(warnings, 16385), size_bytes, next_pack, journal_head, substring(journal_hash FOR 65),
       create_time, revision, slot_is_unbounded, substring(ca_sealed FOR 1),
       substring(cert_sealed FOR 1), substring(key_sealed FOR 1), is_operator_made
FROM backup.clusters
WHERE tenant_id = $1::uuid AND delete_time IS NULL AND name > $2
ORDER BY name
LIMIT $3::integer

-- name: cluster_delete
UPDATE backup.clusters
SET delete_time = clock_timestamp(), revision = revision + 1
WHERE tenant_id = $1::uuid AND id = $2::uuid AND delete_time IS NULL

-- name: cluster_is_removed
SELECT count(*)
FROM backup.clusters
WHERE tenant_id = $1::uuid AND id = $2::uuid AND delete_time IS NOT NULL

-- name: cluster_has_journal
-- Removed ones count: what they stored is in the vault.
SELECT EXISTS (SELECT FROM backup.clusters WHERE tenant_id = $1::uuid AND journal_head > 0)::integer

-- name: cluster_set_connection
-- A source that came back from the vault alone gets its connection (then the revision is the one it
-- had), or one that has a connection gets another. The slot stays when there is one.
-- params: tenant, id, dsn, password_sealed, server_version, slot, warnings, size_bytes,
--         slot_is_unbounded, ca, cert, key, is_operator_made, revision before
UPDATE backup.clusters
SET dsn = $3, password_sealed = $4::bytea, server_version = $5::integer,
    slot = CASE WHEN slot = '' THEN $6 ELSE slot END, warnings = $7, size_bytes = $8::bigint,
    slot_is_unbounded = $9::boolean, ca_sealed = $10::bytea, cert_sealed = $11::bytea,
    key_sealed = $12::bytea, is_operator_made = $13::boolean, revision = revision + 1
WHERE tenant_id = $1::uuid AND id = $2::uuid AND revision = $14::bigint AND delete_time IS NULL

-- name: cluster_set_pack
-- params: tenant, id, next pack number
UPDATE backup.clusters
SET next_pack = greatest(next_pack, $3::bigint)
WHERE tenant_id = $1::uuid AND id = $2::uuid

-- name: cluster_set_head
-- params: tenant, id, journal head, hash
UPDATE backup.clusters
SET journal_head = $3::bigint, journal_hash = $4::bytea
WHERE tenant_id = $1::uuid AND id = $2::uuid AND journal_head < $3::bigint

-- name: cluster_follow_vault
-- As the vault has it, be it older. params: tenant, id, journal head, hash, lineage
UPDATE backup.clusters
SET journal_head = $3::bigint, journal_hash = $4::bytea, lineage = $5
WHERE tenant_id = $1::uuid AND id = $2::uuid

-- name: cluster_set_lineage
UPDATE backup.clusters
SET lineage = $3, system_identifier = $4
WHERE tenant_id = $1::uuid AND id = $2::uuid

-- name: cluster_mend
-- A damaged row gets what the vault knows, and neutral values for the rest.
-- params: tenant, id, system_identifier, server_version, segment_bytes, lineage, head, hash
UPDATE backup.clusters
SET system_identifier = $3, server_version = $4::integer, segment_bytes = $5::bigint, lineage = $6,
    journal_head = $7::bigint, journal_hash = $8::bytea,
    dsn = CASE WHEN octet_length(dsn) > 4096
                    OR translate(dsn, E'\t\n\013\f\r', '') ~ '[[:cntrl:]]' THEN '' ELSE dsn END,
    password_sealed = CASE WHEN octet_length(password_sealed) > 131072 THEN NULL
                      ELSE password_sealed END,
    ca_sealed = CASE WHEN octet_length(ca_sealed) > 600000 THEN NULL ELSE ca_sealed END,
    cert_sealed = CASE WHEN octet_length(cert_sealed) > 131072 THEN NULL ELSE cert_sealed END,
    key_sealed = CASE WHEN octet_length(key_sealed) > 131072 THEN NULL ELSE key_sealed END,
    slot = CASE WHEN slot ~ '^[a-z0-9_]{0,63}$' THEN slot ELSE '' END,
    warnings = left(warnings, 4096), size_bytes = greatest(size_bytes, 0),
    next_pack = CASE WHEN next_pack BETWEEN 1 AND 4611686018427387904 THEN next_pack ELSE 1 END,
    create_time = CASE WHEN create_time BETWEEN '0001-01-01' AND '9999-12-31' THEN create_time
                  ELSE clock_timestamp() END,
    revision = CASE WHEN revision BETWEEN 1 AND 4611686018427387904 THEN revision + 1 ELSE 1 END
WHERE tenant_id = $1::uuid AND id = $2::uuid

-- name: cluster_set_warnings
-- params: tenant, id, warnings, slot_is_unbounded
UPDATE backup.clusters
SET warnings = $3, slot_is_unbounded = $4::boolean
WHERE tenant_id = $1::uuid AND id = $2::uuid AND delete_time IS NULL
  AND (warnings, slot_is_unbounded) IS DISTINCT FROM ($3, $4::boolean)

-- name: cluster_dsn
-- Before the schema is brought up to date: only what every release had.
SELECT left(dsn, 4097) FROM backup.clusters WHERE tenant_id = $1::uuid AND id = $2::uuid

-- name: cluster_ids_all
-- For the dispatch role: which clusters need a receiver.
SELECT tenant_id::text, id::text
FROM backup.clusters
WHERE delete_time IS NULL AND slot <> ''
ORDER BY tenant_id, id

-- name: gap_insert
INSERT INTO backup.gaps (tenant_id, cluster_id, lineage, timeline, from_lsn, to_lsn)
VALUES ($1::uuid, $2::uuid, $3, $4::integer, $5::numeric, $6::numeric)
ON CONFLICT DO NOTHING

-- name: gap_clear
-- params: tenant, cluster, lineage, time in microseconds. What was found since then stays.
DELETE FROM backup.gaps
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND lineage = $3
  AND found_time < to_timestamp($4::bigint / 1000000.0)

-- name: gap_list
SELECT timeline, from_lsn::text, to_lsn::text
FROM backup.gaps
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND lineage = $3
ORDER BY to_lsn DESC
LIMIT 1000

-- name: vault_pin
-- For the dispatch role; params: id of the vault. The first one stays.
INSERT INTO backup.vault (id)
VALUES ($1::uuid)
ON CONFLICT DO NOTHING

-- name: vault_pinned
-- For the dispatch role.
SELECT id::text
FROM backup.vault

-- name: backup_insert
-- params: tenant, cluster, id, checkpoint, job, lineage
INSERT INTO backup.backups (tenant_id, cluster_id, id, checkpoint, job_id, lineage)
VALUES ($1::uuid, $2::uuid, $3, $4, $5::uuid, $6)

-- name: backup_get
SELECT b.id, c.name, b.cluster_id::text, left(b.state, 41), left(b.checkpoint, 41), b.job_id::text,
       left(b.lineage, 41),
       b.timeline, b.start_lsn::text, b.stop_lsn::text, b.create_time, b.start_time, b.end_time,
       b.source_bytes, b.changed_bytes, b.stored_bytes, b.files, b.journal_entry, b.server_version,
       left(b.predecessor, 41), left(b.root, 1025), left(b.error_code, 65),
       left(b.error_message, 4097), left(b.error_reason, 65), left(b.verification, 41),
       b.verify_time, left(b.findings, 16385), b.revision
FROM backup.backups b
JOIN backup.clusters c ON c.tenant_id = b.tenant_id AND c.id = b.cluster_id
WHERE b.tenant_id = $1::uuid AND c.name = $2 AND b.id = $3 AND b.delete_time IS NULL
ORDER BY c.delete_time DESC NULLS FIRST
LIMIT 1

-- name: backup_list
-- params: tenant, cluster name or '-', state or '', before id, limit. Ids sort by time.
SELECT b.id, c.name, b.cluster_id::text, left(b.state, 41), left(b.checkpoint, 41), b.job_id::text,
       left(b.lineage, 41),
       b.timeline, b.start_lsn::text, b.stop_lsn::text, b.create_time, b.start_time, b.end_time,
       b.source_bytes, b.changed_bytes, b.stored_bytes, b.files, b.journal_entry, b.server_version,
       left(b.predecessor, 41), left(b.root, 1025), left(b.error_code, 65),
       left(b.error_message, 4097), left(b.error_reason, 65), left(b.verification, 41),
       b.verify_time, left(b.findings, 16385), b.revision
FROM backup.backups b
JOIN backup.clusters c ON c.tenant_id = b.tenant_id AND c.id = b.cluster_id
WHERE b.tenant_id = $1::uuid AND ($2 = '-' OR c.name = $2) AND ($3 = '' OR b.state = $3)
  AND ($4 = '' OR b.id < $4) AND b.delete_time IS NULL AND c.delete_time IS NULL
ORDER BY b.id DESC
LIMIT $5::integer

-- name: backup_active
SELECT id, coalesce(job_id::text, '')
FROM backup.backups
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND state IN ('PENDING', 'RUNNING')
  AND delete_time IS NULL
ORDER BY id
LIMIT 1

-- name: backup_newest
SELECT id, end_time
FROM backup.backups
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND state = 'SUCCEEDED'
  AND delete_time IS NULL AND end_time BETWEEN '0001-01-01' AND '9999-12-31'
ORDER BY end_time DESC
LIMIT 1

-- name: backup_last_verify
SELECT coalesce(max(verify_time), 'epoch'::timestamptz)
FROM backup.backups
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND verification = 'VERIFIED'
  AND delete_time IS NULL AND verify_time BETWEEN '0001-01-01' AND '9999-12-31'

-- name: backup_points
-- The succeeded backups of a lineage, for the recovery window.
SELECT start_lsn::text, end_time
FROM backup.backups
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND lineage = $3 AND state = 'SUCCEEDED'
  AND delete_time IS NULL

-- name: backup_set_pending
-- Its job goes back to work. A point that exists stays.
UPDATE backup.backups
SET state = 'PENDING', end_time = NULL, revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3 AND state <> 'SUCCEEDED'

-- name: backup_set_running
UPDATE backup.backups
SET state = 'RUNNING', start_time = coalesce(start_time, clock_timestamp()),
    error_code = '', error_message = '', error_reason = '', revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3

-- name: backup_set_ended
-- params: tenant, cluster, id, state, error code, message, reason. A point that exists stays.
UPDATE backup.backups
SET state = $4, error_code = $5, error_message = $6, error_reason = $7,
    end_time = coalesce(end_time, clock_timestamp()), revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3 AND state <> 'SUCCEEDED'

-- name: backup_set_succeeded
-- params: tenant, cluster, id, timeline, start, stop, end time µs, source, changed, stored, files,
--         journal entry, server version, predecessor, root
UPDATE backup.backups
SET state = 'SUCCEEDED', timeline = $4::integer, start_lsn = $5::numeric, stop_lsn = $6::numeric,
    end_time = to_timestamp($7::bigint / 1000000.0), source_bytes = $8::bigint,
    changed_bytes = $9::bigint, stored_bytes = $10::bigint, files = $11::bigint,
    journal_entry = $12::bigint, server_version = $13::integer, predecessor = $14, root = $15,
    error_code = '', error_message = '', error_reason = '', revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3

-- name: backup_upsert_point
-- A point found in the vault: params as backup_set_succeeded, then lineage, start time µs.
INSERT INTO backup.backups (tenant_id, cluster_id, id, state, timeline, start_lsn, stop_lsn, end_time,
                            source_bytes, changed_bytes, stored_bytes, files, journal_entry,
                            server_version, predecessor, root, lineage, start_time, create_time)
VALUES ($1::uuid, $2::uuid, $3, 'SUCCEEDED', $4::integer, $5::numeric, $6::numeric,
        to_timestamp($7::bigint / 1000000.0), $8::bigint, $9::bigint, $10::bigint, $11::bigint,
        $12::bigint, $13::integer, $14, $15, $16, to_timestamp($17::bigint / 1000000.0),
        to_timestamp($17::bigint / 1000000.0))
ON CONFLICT (tenant_id, cluster_id, id) DO UPDATE
SET state = 'SUCCEEDED', timeline = excluded.timeline, start_lsn = excluded.start_lsn,
    stop_lsn = excluded.stop_lsn, end_time = excluded.end_time,
    source_bytes = excluded.source_bytes, changed_bytes = excluded.changed_bytes,
    stored_bytes = excluded.stored_bytes, files = excluded.files,
    journal_entry = excluded.journal_entry, server_version = excluded.server_version,
    predecessor = excluded.predecessor, root = excluded.root, lineage = excluded.lineage,
    error_code = '', error_message = '', error_reason = '', delete_time = NULL,
    revision = backup.backups.revision + 1

-- name: backup_set_verified
-- params: tenant, cluster, id, verification, findings
UPDATE backup.backups
SET verification = $4, findings = $5, verify_time = clock_timestamp(), revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3

-- name: backup_delete
UPDATE backup.backups
SET delete_time = clock_timestamp(), revision = revision + 1
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3 AND delete_time IS NULL

-- name: restore_insert
-- params: tenant, cluster, id, job, target, directory
INSERT INTO backup.restores (tenant_id, cluster_id, id, job_id, target, directory)
VALUES ($1::uuid, $2::uuid, $3, $4::uuid, $5, $6)

-- name: restore_get
SELECT r.id, c.name, r.cluster_id::text, left(r.state, 41), r.job_id::text, left(r.target, 257),
       left(r.backup_id, 41), left(r.directory, 4097), r.resolved_lsn::text, r.resolved_time,
       r.restored_bytes, left(r.error_code, 65), left(r.error_message, 4097),
       left(r.error_reason, 65), r.create_time, r.end_time
FROM backup.restores r
JOIN backup.clusters c ON c.tenant_id = r.tenant_id AND c.id = r.cluster_id
WHERE r.tenant_id = $1::uuid AND c.name = $2 AND r.id = $3

-- name: restore_list
-- params: tenant, cluster name or '-', before id, limit
SELECT r.id, c.name, r.cluster_id::text, left(r.state, 41), r.job_id::text, left(r.target, 257),
       left(r.backup_id, 41), left(r.directory, 4097), r.resolved_lsn::text, r.resolved_time,
       r.restored_bytes, left(r.error_code, 65), left(r.error_message, 4097),
       left(r.error_reason, 65), r.create_time, r.end_time
FROM backup.restores r
JOIN backup.clusters c ON c.tenant_id = r.tenant_id AND c.id = r.cluster_id
WHERE r.tenant_id = $1::uuid AND ($2 = '-' OR c.name = $2) AND ($3 = '' OR r.id < $3)
ORDER BY r.id DESC
LIMIT $4::integer

-- name: restore_report
-- params: tenant, cluster, id, state, backup, resolved lsn, resolved time µs (0: none), bytes,
--         error code, message, reason. Only while it runs.
UPDATE backup.restores
SET state = $4, backup_id = $5, resolved_lsn = $6::numeric,
    resolved_time = CASE WHEN $7::bigint = 0 THEN NULL
                    ELSE to_timestamp($7::bigint / 1000000.0) END,
    restored_bytes = $8::bigint, error_code = $9, error_message = $10, error_reason = $11,
    end_time = CASE WHEN $4 = 'RUNNING' THEN NULL ELSE clock_timestamp() END
WHERE tenant_id = $1::uuid AND cluster_id = $2::uuid AND id = $3 AND state = 'RUNNING'
