-- The gaps of a lineage are replaced by the holes that the vault's listing shows: those that are filled go.
GRANT DELETE ON backup.gaps TO holdfast_app;
