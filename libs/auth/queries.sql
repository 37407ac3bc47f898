-- name: auth_authorize
SELECT tenant_id, role, is_denied, is_known FROM platform.authorize_caller($1, $2, $3);

-- name: auth_tenants
SELECT id, name FROM platform.all_tenants();

-- name: auth_identity_put
INSERT INTO platform.identities (tenant_id, kind, name, role)
VALUES ($1::uuid, $2, $3, $4)
ON CONFLICT (tenant_id, kind, name) DO UPDATE SET role = EXCLUDED.role, is_denied = false;

-- name: auth_identity_deny
UPDATE platform.identities SET is_denied = true WHERE kind = $1 AND name = $2;

-- name: auth_tenant_create
INSERT INTO platform.tenants (id, name) VALUES ($1::uuid, $2);
