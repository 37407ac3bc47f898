-- Tenants and who may act in them. The one schema that services share.
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    create_time timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE identities (
    tenant_id uuid NOT NULL REFERENCES tenants,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('client', 'service', 'agent')),
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    role text COLLATE "C" NOT NULL,
    is_denied boolean NOT NULL DEFAULT false,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, kind, name)
);
-- A caller is looked up before its tenant is known.
CREATE INDEX identities_caller ON identities (kind, name);

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE identities FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant ON tenants TO holdfast_app
    USING (id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));
CREATE POLICY tenant ON identities TO holdfast_app
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid));
-- The owner cannot log in; it acts through the functions below and in migrations.
CREATE POLICY owner ON tenants TO holdfast_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON identities TO holdfast_owner USING (true) WITH CHECK (true);

GRANT SELECT ON tenants TO holdfast_app;
GRANT SELECT, INSERT, UPDATE ON identities TO holdfast_app;

-- One row always: nulls when the tenant is unknown or the caller is not in it.
CREATE FUNCTION authorize_caller(caller_kind text, caller_name text, tenant_name text)
    RETURNS TABLE (tenant_id uuid, role text, is_denied boolean, is_known boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    SELECT found.id, found.role, found.is_denied,
           EXISTS (SELECT FROM identities k WHERE k.kind = caller_kind AND k.name = caller_name)
      FROM (VALUES (1)) one (n)
      LEFT JOIN (SELECT t.id, i.role, i.is_denied
                   FROM tenants t
                   JOIN identities i ON i.tenant_id = t.id
                  WHERE t.name = tenant_name AND i.kind = caller_kind
                    AND i.name = caller_name) found ON true
$$;

CREATE FUNCTION all_tenants() RETURNS TABLE (id uuid, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
AS $$
    SELECT t.id, t.name FROM tenants t ORDER BY t.name
$$;

REVOKE ALL ON FUNCTION authorize_caller(text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION all_tenants() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authorize_caller(text, text, text) TO holdfast_app;
GRANT EXECUTE ON FUNCTION all_tenants() TO holdfast_app;

-- The default tenant's id is the same everywhere, so that a vault written under it fits a state
-- database that was made anew.
INSERT INTO tenants (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default');
