-- name: db_migration_applied
SELECT checksum, encode(sha256(convert_to($4, 'UTF8')), 'hex')
  FROM (VALUES (1)) one (n)
  LEFT JOIN platform.schema_migrations m
    ON m.schema_name = $1 AND m.component = $2 AND m.version = $3::int;

-- name: db_migration_record
INSERT INTO platform.schema_migrations (schema_name, component, version, name, checksum)
VALUES ($1, $2, $3::int, $4, encode(sha256(convert_to($5, 'UTF8')), 'hex'));

-- name: db_migrate_lock
SELECT pg_advisory_xact_lock(7307497713);
