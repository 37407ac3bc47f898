-- What a column may hold is said by the schema, too; the numbers are those of store/reading.h. Rows of
-- before are mended first, because a row that breaks a CHECK could not be changed again: not even
-- removed. What the vault knows comes back with `holdfast catalog rebuild`. NOT VALID, so that
-- nothing of before can keep the service from starting.
ALTER TABLE backup.clusters NO FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.backups NO FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.restores NO FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.gaps NO FORCE ROW LEVEL SECURITY;

UPDATE backup.clusters SET segment_bytes = 16777216 -- the receiver compares it with the source's
WHERE segment_bytes NOT BETWEEN 1048576 AND 1073741824
   OR (segment_bytes & (segment_bytes - 1)) <> 0;

DO $$
DECLARE
    it record;
    good text;
BEGIN
    -- Times of the years 1 to 9999, numbers from 0 up; a numeric column holds an LSN.
    FOR it IN
        SELECT c.relname AS tab, a.attname AS col, a.attnotnull AS is_needed,
               format_type(a.atttypid, NULL) AS kind
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'backup'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
          AND c.relname IN ('clusters', 'backups', 'restores', 'gaps')
          AND format_type(a.atttypid, NULL) IN
              ('timestamp with time zone', 'integer', 'bigint', 'numeric')
        ORDER BY c.relname, a.attnum
    LOOP
        good := CASE it.kind
            WHEN 'timestamp with time zone' THEN
                format('%I BETWEEN ''0001-01-01 00:00:00+00'' AND ''9999-12-31 23:59:59.999999+00''',
                       it.col)
            WHEN 'numeric' THEN format('%I BETWEEN 0 AND 18446744073709551615', it.col)
            ELSE format('%I >= 0', it.col)
        END;
        EXECUTE format('UPDATE backup.%I SET %I = %s WHERE NOT (%s)', it.tab, it.col,
                       CASE WHEN it.kind <> 'timestamp with time zone' THEN '0'
                            WHEN it.is_needed THEN 'clock_timestamp()'
                            ELSE 'NULL' END, good);
        EXECUTE format('ALTER TABLE backup.%I ADD CONSTRAINT %I CHECK (%s) NOT VALID', it.tab,
                       it.tab || '_' || it.col || '_range', good);
    END LOOP;
    -- Texts: bytes at most. left() counts characters, of four bytes at most.
    FOR it IN
        SELECT * FROM (VALUES
            ('clusters', 'system_identifier', 20), ('clusters', 'lineage', 40),
            ('clusters', 'slot', 63), ('clusters', 'warnings', 16384),
            ('backups', 'lineage', 40), ('backups', 'predecessor', 40), ('backups', 'root', 1024),
            ('backups', 'error_code', 64), ('backups', 'error_message', 4096),
            ('backups', 'error_reason', 64), ('backups', 'findings', 16384),
            ('restores', 'target', 256), ('restores', 'backup_id', 40),
            ('restores', 'directory', 4096), ('restores', 'error_code', 64),
            ('restores', 'error_message', 4096), ('restores', 'error_reason', 64),
            ('gaps', 'lineage', 40)) AS texts (tab, col, most)
    LOOP
        EXECUTE format('UPDATE backup.%I SET %I = left(%I, %s) WHERE octet_length(%I) > %s',
                       it.tab, it.col, it.col, it.most / 4, it.col, it.most);
        EXECUTE format('ALTER TABLE backup.%I ADD CONSTRAINT %I CHECK (octet_length(%I) <= %s) '
                       'NOT VALID', it.tab, it.tab || '_' || it.col || '_length', it.col, it.most);
    END LOOP;
    -- Words.
    FOR it IN
        SELECT * FROM (VALUES
            ('backups', 'state', 'FAILED',
             '''PENDING'', ''RUNNING'', ''SUCCEEDED'', ''FAILED'', ''CANCELLED'''),
            ('backups', 'checkpoint', 'FAST', '''FAST'', ''SPREAD'''),
            ('backups', 'verification', '', ''''', ''VERIFIED'', ''DAMAGED'''),
            ('restores', 'state', 'FAILED',
             '''RUNNING'', ''SUCCEEDED'', ''FAILED'', ''CANCELLED''')) AS words (tab, col, els, all_of)
    LOOP
        EXECUTE format('UPDATE backup.%I SET %I = %L WHERE %I NOT IN (%s)', it.tab, it.col, it.els,
                       it.col, it.all_of);
        EXECUTE format('ALTER TABLE backup.%I ADD CONSTRAINT %I CHECK (%I IN (%s)) NOT VALID',
                       it.tab, it.tab || '_' || it.col || '_word', it.col, it.all_of);
    END LOOP;
END
$$;

ALTER TABLE backup.clusters ADD CONSTRAINT clusters_segment_bytes_power CHECK (
    segment_bytes BETWEEN 1048576 AND 1073741824 AND (segment_bytes & (segment_bytes - 1)) = 0)
    NOT VALID;

ALTER TABLE backup.clusters FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.backups FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.restores FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.gaps FORCE ROW LEVEL SECURITY;
