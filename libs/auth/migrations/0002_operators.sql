-- Who runs the installation, not a tenant: what touches the machine is theirs (operator.h). Nobody but
-- the owner reads or writes the table; the one question that a request may ask goes through the
-- function below, together with what it asked before.
CREATE TABLE operators (
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('client', 'service', 'agent')),
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name)
);

ALTER TABLE operators ENABLE ROW LEVEL SECURITY;
ALTER TABLE operators FORCE ROW LEVEL SECURITY;

CREATE POLICY owner ON operators TO holdfast_owner USING (true) WITH CHECK (true);

-- One row always, as authorize_caller, which stays for the release before.
CREATE FUNCTION authorize_peer(caller_kind text, caller_name text, tenant_name text)
    RETURNS TABLE (tenant_id uuid, role text, is_denied boolean, is_known boolean,
                   is_operator boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    SELECT a.tenant_id, a.role, a.is_denied, a.is_known,
           EXISTS (SELECT FROM operators o WHERE o.kind = caller_kind AND o.name = caller_name)
      FROM authorize_caller(caller_kind, caller_name, tenant_name) a
$$;

REVOKE ALL ON FUNCTION authorize_peer(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authorize_peer(text, text, text) TO holdfast_app;
