-- What is protected, what was saved, what is being brought back. Every row belongs to a tenant,
-- every key begins with it, and row-level security is forced: foreign and unique keys alone would
-- tell one tenant of another's rows.
CREATE TABLE backup.clusters (
    tenant_id         uuid        NOT NULL REFERENCES platform.tenants (id),
    id                uuid        NOT NULL,
    name              text        COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    dsn               text        NOT NULL CHECK (length(dsn) <= 4096),
    password_sealed   bytea,
    system_identifier text        NOT NULL,
    server_version    integer     NOT NULL,
    segment_bytes     bigint      NOT NULL,
    lineage           text        COLLATE "C" NOT NULL,
    slot              text        NOT NULL,
    warnings          text        NOT NULL DEFAULT '',
    size_bytes        bigint      NOT NULL DEFAULT 0,
    next_pack         bigint      NOT NULL DEFAULT 1,
    journal_head      bigint      NOT NULL DEFAULT 0,
    journal_hash      bytea       NOT NULL DEFAULT '\x',
    create_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
    delete_time       timestamptz,
    revision          bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX clusters_name ON backup.clusters (tenant_id, name) WHERE delete_time IS NULL;

CREATE TABLE backup.gaps (
    tenant_id  uuid        NOT NULL,
    cluster_id uuid        NOT NULL,
    lineage    text        COLLATE "C" NOT NULL,
    timeline   integer     NOT NULL,
    from_lsn   numeric(20) NOT NULL,
    to_lsn     numeric(20) NOT NULL,
    found_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, cluster_id, lineage, timeline, from_lsn),
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES backup.clusters (tenant_id, id)
);

CREATE TABLE backup.backups (
    tenant_id      uuid        NOT NULL,
    cluster_id     uuid        NOT NULL,
    id             text        COLLATE "C" NOT NULL CHECK (id ~ '^[a-z][a-z0-9-]{0,39}$'),
    state          text        NOT NULL DEFAULT 'PENDING',
    checkpoint     text        NOT NULL DEFAULT 'FAST',
    job_id         uuid,
    lineage        text        COLLATE "C" NOT NULL,
    timeline       integer     NOT NULL DEFAULT 0,
    start_lsn      numeric(20) NOT NULL DEFAULT 0,
    stop_lsn       numeric(20) NOT NULL DEFAULT 0,
    create_time    timestamptz NOT NULL DEFAULT clock_timestamp(),
    start_time     timestamptz,
    end_time       timestamptz,
    source_bytes   bigint      NOT NULL DEFAULT 0,
    changed_bytes  bigint      NOT NULL DEFAULT 0,
    stored_bytes   bigint      NOT NULL DEFAULT 0,
    files          bigint      NOT NULL DEFAULT 0,
    journal_entry  bigint      NOT NULL DEFAULT 0,
    server_version integer     NOT NULL DEFAULT 0,
    predecessor    text        NOT NULL DEFAULT '',
    root           text        NOT NULL DEFAULT '',
    error_code     text        NOT NULL DEFAULT '',
    error_message  text        NOT NULL DEFAULT '',
    error_reason   text        NOT NULL DEFAULT '',
    verification   text        NOT NULL DEFAULT '',
    verify_time    timestamptz,
    findings       text        NOT NULL DEFAULT '',
    delete_time    timestamptz,
    revision       bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, cluster_id, id),
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES backup.clusters (tenant_id, id)
);
-- Given a backup's ID alone.
CREATE INDEX backups_id ON backup.backups (tenant_id, id);

CREATE TABLE backup.restores (
    tenant_id      uuid        NOT NULL,
    cluster_id     uuid        NOT NULL,
    id             text        COLLATE "C" NOT NULL CHECK (id ~ '^[a-z][a-z0-9-]{0,39}$'),
    state          text        NOT NULL DEFAULT 'RUNNING',
    job_id         uuid        NOT NULL,
    target         text        NOT NULL,
    backup_id      text        NOT NULL DEFAULT '',
    directory      text        NOT NULL DEFAULT '',
    resolved_lsn   numeric(20) NOT NULL DEFAULT 0,
    resolved_time  timestamptz,
    restored_bytes bigint      NOT NULL DEFAULT 0,
    error_code     text        NOT NULL DEFAULT '',
    error_message  text        NOT NULL DEFAULT '',
    error_reason   text        NOT NULL DEFAULT '',
    create_time    timestamptz NOT NULL DEFAULT clock_timestamp(),
    end_time       timestamptz,
    PRIMARY KEY (tenant_id, cluster_id, id),
    FOREIGN KEY (tenant_id, cluster_id) REFERENCES backup.clusters (tenant_id, id)
);

ALTER TABLE backup.clusters ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup.clusters FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.gaps ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup.gaps FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.backups ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup.backups FORCE ROW LEVEL SECURITY;
ALTER TABLE backup.restores ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup.restores FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON backup.clusters
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));
CREATE POLICY tenant ON backup.gaps
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));
CREATE POLICY tenant ON backup.backups
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));
CREATE POLICY tenant ON backup.restores
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));

-- The process finds at start which clusters need a WAL receiver: names of tenants and ids only.
CREATE POLICY dispatch ON backup.clusters FOR SELECT TO holdfast_dispatch USING (true);
GRANT SELECT (tenant_id, id, slot, delete_time) ON backup.clusters TO holdfast_dispatch;

GRANT SELECT, INSERT, UPDATE ON backup.clusters, backup.backups, backup.restores
    TO holdfast_app;
GRANT SELECT, INSERT ON backup.gaps TO holdfast_app;
