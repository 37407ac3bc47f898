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

-- One row always, as authorize_caller, which stays for the release before. In plpgsql, whose plans a
-- session keeps: a function in SQL that cannot be inlined is planned anew in every call.
CREATE FUNCTION authorize_peer(caller_kind text, caller_name text, tenant_name text)
    RETURNS TABLE (tenant_id uuid, role text, is_denied boolean, is_known boolean,
                   is_operator boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT found.id, found.role, found.is_denied,
           EXISTS (SELECT FROM identities k WHERE k.kind = caller_kind AND k.name = caller_name),
           EXISTS (SELECT FROM operators o WHERE o.kind = caller_kind AND o.name = caller_name)
      FROM (VALUES (1)) one (n)
      LEFT JOIN (SELECT t.id, i.role, i.is_denied
                   FROM tenants t
                   JOIN identities i ON i.tenant_id = t.id
                  WHERE t.name = tenant_name AND i.kind = caller_kind
                    AND i.name = caller_name) found ON true;
END
$$;

REVOKE ALL ON FUNCTION authorize_peer(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authorize_peer(text, text, text) TO holdfast_app;
