-- Bounds of what stands in a row. Until now a row could hold what its readers could not: such rows
-- are brought inside first, so that the constraints hold for all.
UPDATE jobs SET target = left(target, 256) WHERE octet_length(target) > 1024;
UPDATE jobs SET args = '' WHERE octet_length(args) > 65536;
UPDATE jobs SET principal = left(principal, 64) WHERE octet_length(principal) > 256;
UPDATE jobs SET trace = left(trace, 64) WHERE octet_length(trace) > 256;

DO $bounds$
DECLARE
    tab text;
    col text;
    low constant text := '''0001-01-01 00:00:00+00''::timestamptz';
    high constant text := '''9999-12-31 23:59:59.999999+00''::timestamptz';
    states constant text := '(''waiting'', ''pending'', ''running'', ''succeeded'', ''failed'', ''cancelled'', ''outcome_unknown'')';
BEGIN
    FOREACH tab IN ARRAY ARRAY['jobs', 'jobs_archive']
    LOOP
        EXECUTE format('UPDATE %I SET kind = left(kind, 40) WHERE octet_length(kind) > 40', tab);
        EXECUTE format('UPDATE %I SET phase = left(phase, 64) WHERE octet_length(phase) > 256', tab);
        EXECUTE format('UPDATE %I SET dependency = left(dependency, 32) '
                       'WHERE octet_length(dependency) > 128', tab);
        EXECUTE format('UPDATE %I SET error_reason = left(error_reason, 32) '
                       'WHERE octet_length(error_reason) > 128', tab);
        EXECUTE format('UPDATE %I SET error_message = left(error_message, 1000) '
                       'WHERE octet_length(error_message) > 4096', tab);
        EXECUTE format('UPDATE %I SET result = left(result, 256) '
                       'WHERE octet_length(result) > 1024', tab);
        EXECUTE format('UPDATE %I SET done_bytes = greatest(done_bytes, 0), '
                       'total_bytes = greatest(total_bytes, 0) '
                       'WHERE done_bytes < 0 OR total_bytes < 0', tab);
        EXECUTE format('UPDATE %I SET attempt = least(greatest(attempt, 0), 1000000) '
                       'WHERE attempt NOT BETWEEN 0 AND 1000000', tab);
        EXECUTE format('UPDATE %I SET fence = 0 WHERE fence NOT BETWEEN 0 AND 4000000000000000000', tab);
        EXECUTE format('UPDATE %I SET revision = 1 '
                       'WHERE revision NOT BETWEEN 0 AND 4000000000000000000', tab);
        EXECUTE format('UPDATE %I SET priority = 9 WHERE priority NOT BETWEEN 0 AND 9', tab);
        EXECUTE format('UPDATE %I SET error_code = 2 WHERE error_code NOT BETWEEN 0 AND 16', tab);
        EXECUTE format('UPDATE %I SET state = ''outcome_unknown'' WHERE state NOT IN %s', tab, states);
        EXECUTE format('UPDATE %I SET replay = ''never'' '
                       'WHERE replay NOT IN (''safe'', ''observe_first'', ''never'')', tab);
        FOREACH col IN ARRAY ARRAY['deadline', 'run_at', 'create_time', 'start_time', 'end_time']
        LOOP
            EXECUTE format('UPDATE %I SET %I = least(greatest(%I, %s), %s) '
                           'WHERE %I NOT BETWEEN %s AND %s',
                           tab, col, col, low, high, col, low, high);
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I BETWEEN %s AND %s)',
                           tab, tab || '_' || col || '_range', col, low, high);
        END LOOP;
        EXECUTE format(
            'ALTER TABLE %I ADD CONSTRAINT %I CHECK ('
            'octet_length(kind) <= 40 AND octet_length(phase) <= 256 '
            'AND octet_length(dependency) <= 128 AND octet_length(error_reason) <= 128 '
            'AND octet_length(error_message) <= 4096 AND octet_length(result) <= 1024)',
            tab, tab || '_texts');
        EXECUTE format(
            'ALTER TABLE %I ADD CONSTRAINT %I CHECK ('
            'done_bytes >= 0 AND total_bytes >= 0 AND attempt BETWEEN 0 AND 1000001 '
            'AND priority BETWEEN 0 AND 9 AND error_code BETWEEN 0 AND 16 '
            'AND fence BETWEEN 0 AND 4000000000000000001 '
            'AND revision BETWEEN 0 AND 4000000000000000001)',
            tab, tab || '_numbers');
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (state IN %s '
                       'AND replay IN (''safe'', ''observe_first'', ''never''))',
                       tab, tab || '_words', states);
    END LOOP;
END
$bounds$;

ALTER TABLE jobs ADD CONSTRAINT jobs_arguments CHECK (
    octet_length(target) <= 1024 AND octet_length(args) <= 65536
    AND octet_length(principal) <= 256 AND octet_length(trace) <= 256);
DELETE FROM outbox WHERE octet_length(kind) > 40;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind CHECK (octet_length(kind) <= 40);

-- The hash of a request was a bare SHA-256, from which a password in the request could be guessed.
-- From now on it is keyed. Hashes of before are forgotten: until such a record expires (24 hours)
-- its request id alone is compared and its reply given again.
UPDATE requests SET request_hash = '';
