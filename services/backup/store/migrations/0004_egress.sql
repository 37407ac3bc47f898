-- How a source is reached: its certificates, each sealed under its own place, and whether an admin of
-- the installation registered it, which each connection is judged by. Rows of before were made while
-- there was but one kind of admin.
ALTER TABLE backup.clusters
    ADD COLUMN ca_sealed   bytea CHECK (octet_length(ca_sealed) <= 600000),
    ADD COLUMN cert_sealed bytea CHECK (octet_length(cert_sealed) <= 70000),
    ADD COLUMN key_sealed  bytea CHECK (octet_length(key_sealed) <= 70000),
    ADD COLUMN is_operator_made boolean NOT NULL DEFAULT true;
ALTER TABLE backup.clusters ALTER COLUMN is_operator_made SET DEFAULT false;
