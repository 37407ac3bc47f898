-- What is known of the source's slot is a fact of its own. Rows of before say it in a warning, until
-- their source is looked at again; the owner sees all tenants' rows for that one statement.
ALTER TABLE backup.clusters ADD COLUMN slot_is_unbounded boolean NOT NULL DEFAULT false;
ALTER TABLE backup.clusters NO FORCE ROW LEVEL SECURITY;
UPDATE backup.clusters SET slot_is_unbounded = true
WHERE warnings LIKE '%max_slot_wal_keep_size is -1%';
ALTER TABLE backup.clusters FORCE ROW LEVEL SECURITY;
