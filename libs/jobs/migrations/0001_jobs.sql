-- Jobs of one service, in its own schema. No index has a mutable column as key or predicate: a
-- claim and a finish then stay heap-only updates, for which the live table keeps half of each page.
CREATE TABLE jobs (
    tenant_id uuid NOT NULL REFERENCES platform.tenants,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    args text NOT NULL,
    principal text NOT NULL,
    trace text NOT NULL,
    priority smallint NOT NULL,
    replay text COLLATE "C" NOT NULL CHECK (replay IN ('safe', 'observe_first', 'never')),
    max_attempts integer NOT NULL,
    deadline timestamptz,
    external_ttl_s integer NOT NULL DEFAULT 0,
    state text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'pending', 'running', 'succeeded',
                                                     'failed', 'cancelled', 'outcome_unknown')),
    pending_parents integer NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_delayed boolean NOT NULL DEFAULT false,
    attempt integer NOT NULL DEFAULT 0,
    worker uuid,
    epoch bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL DEFAULT 0,
    beat bigint NOT NULL DEFAULT 0,
    dependency text NOT NULL DEFAULT '',
    is_cancel_requested boolean NOT NULL DEFAULT false,
    is_observe boolean NOT NULL DEFAULT false,
    is_discarded boolean NOT NULL DEFAULT false,
    phase text NOT NULL DEFAULT '',
    done_bytes bigint NOT NULL DEFAULT 0,
    total_bytes bigint NOT NULL DEFAULT 0,
    error_code integer NOT NULL DEFAULT 0,
    error_reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    result text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 1,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    start_time timestamptz,
    end_time timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);

-- Ended jobs, moved here in batches.
CREATE TABLE jobs_archive (LIKE jobs INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, id));
CREATE INDEX jobs_archive_target ON jobs_archive (tenant_id, target, id);

CREATE VIEW all_jobs WITH (security_invoker = true) AS
    SELECT * FROM jobs UNION ALL SELECT * FROM jobs_archive;

-- A child waits for its parents; a row goes with either of them.
CREATE TABLE job_deps (
    tenant_id uuid NOT NULL,
    parent_id uuid NOT NULL,
    child_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, parent_id, child_id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES jobs ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, child_id) REFERENCES jobs ON DELETE CASCADE
);
CREATE INDEX job_deps_child ON job_deps (tenant_id, child_id);

-- What the relay has to ring for, and when. Rows are inserted and deleted, never updated.
CREATE TABLE outbox (
    tenant_id uuid NOT NULL REFERENCES platform.tenants,
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_due ON outbox (due_at);

-- At most one job of each, also after it was archived.
CREATE TABLE job_keys (
    tenant_id uuid NOT NULL REFERENCES platform.tenants,
    kind text COLLATE "C" NOT NULL,
    idem_key text COLLATE "C" NOT NULL,
    job_id uuid NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, kind, idem_key)
);

CREATE TABLE requests (
    tenant_id uuid NOT NULL REFERENCES platform.tenants,
    method text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    response bytea,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, method, request_id)
);
CREATE INDEX requests_age ON requests (create_time);

-- One row per life of a worker process; belongs to no tenant.
CREATE TABLE workers (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    name text NOT NULL,
    boot_id text NOT NULL,
    pid_namespace text NOT NULL,
    pid bigint NOT NULL,
    start_ticks bigint NOT NULL,
    beat bigint NOT NULL DEFAULT 0,
    is_dead boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The first half of every fence, and what shows that this database was restored.
CREATE TABLE state_epoch (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    epoch bigint NOT NULL,
    counter bigint NOT NULL,
    system_id text NOT NULL,
    timeline integer NOT NULL
);

DO $policies$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['jobs', 'jobs_archive', 'job_deps', 'outbox', 'job_keys',
                               'requests', 'workers', 'state_epoch']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tab);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tab);
        EXECUTE format('CREATE POLICY owner ON %I TO holdfast_owner USING (true) WITH CHECK (true)',
                       tab);
        EXECUTE format('CREATE POLICY dispatch ON %I TO holdfast_dispatch '
                       'USING (true) WITH CHECK (true)', tab);
        IF tab NOT IN ('workers', 'state_epoch') THEN
            EXECUTE format(
                'CREATE POLICY tenant ON %I TO holdfast_app '
                'USING (tenant_id = (SELECT nullif(current_setting(''app.tenant'', true), '''')::uuid)) '
                'WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant'', true), '''')::uuid))',
                tab);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO holdfast_app', tab);
        END IF;
    END LOOP;
END
$policies$;

GRANT SELECT ON all_jobs TO holdfast_app;
-- Claims by requests (external jobs) need the epoch, which belongs to no tenant.
CREATE POLICY readable ON state_epoch FOR SELECT TO holdfast_app USING (true);
GRANT SELECT (epoch) ON state_epoch TO holdfast_app;

-- Dispatch sees how jobs run, never what they are about.
GRANT SELECT (tenant_id, id, kind, priority, state, run_at, attempt, worker, epoch, fence, beat,
              is_cancel_requested, external_ttl_s, deadline, start_time, end_time, phase, revision)
    ON jobs TO holdfast_dispatch;
GRANT UPDATE (state, attempt, worker, epoch, fence, start_time, is_delayed, phase, revision)
    ON jobs TO holdfast_dispatch;
-- Locking rows needs UPDATE.
GRANT SELECT, UPDATE, DELETE ON outbox TO holdfast_dispatch;
GRANT SELECT (create_time), DELETE ON requests TO holdfast_dispatch;
GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO holdfast_dispatch;
GRANT SELECT, INSERT, UPDATE ON state_epoch TO holdfast_dispatch;

-- Moving whole rows is the owner's work, because dispatch may not read them.
CREATE FUNCTION archive_jobs(keep interval, batch integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    WITH old AS (
        SELECT tenant_id, id FROM jobs
         WHERE state IN ('succeeded', 'failed', 'cancelled', 'outcome_unknown')
           AND end_time < clock_timestamp() - keep
         LIMIT batch FOR UPDATE SKIP LOCKED
    ), moved AS (
        DELETE FROM jobs j USING old WHERE j.tenant_id = old.tenant_id AND j.id = old.id
        RETURNING j.*
    ), kept AS (
        INSERT INTO jobs_archive SELECT * FROM moved RETURNING 1
    )
    SELECT count(*) FROM kept
$$;

CREATE FUNCTION drop_archived_jobs(keep interval, batch integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    WITH old AS (
        SELECT tenant_id, id FROM jobs_archive WHERE end_time < clock_timestamp() - keep LIMIT batch
    ), dropped AS (
        DELETE FROM jobs_archive j USING old
         WHERE j.tenant_id = old.tenant_id AND j.id = old.id RETURNING 1
    )
    SELECT count(*) FROM dropped
$$;

REVOKE ALL ON FUNCTION archive_jobs(interval, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_archived_jobs(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION archive_jobs(interval, integer) TO holdfast_dispatch;
GRANT EXECUTE ON FUNCTION drop_archived_jobs(interval, integer) TO holdfast_dispatch;
