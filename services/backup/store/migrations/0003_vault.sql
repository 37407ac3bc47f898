-- The vault that this installation uses, once it has one: a directory that is empty, or that has
-- another vault, is a disk that is not mounted. One row, of the process and not of a tenant.
CREATE TABLE backup.vault (
    is_the_one     boolean     PRIMARY KEY DEFAULT true CHECK (is_the_one),
    id             uuid        NOT NULL,
    first_use_time timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE backup.vault ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup.vault FORCE ROW LEVEL SECURITY;

CREATE POLICY dispatch ON backup.vault TO holdfast_dispatch USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON backup.vault TO holdfast_dispatch;
