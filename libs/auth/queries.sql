-- name: auth_authorize
SELECT tenant_id, role, is_denied, is_known, is_operator
FROM platform.authorize_peer($1, $2, $3);

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

-- name: auth_operator_put
-- As the owner.
INSERT INTO platform.operators (kind, name) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: auth_operator_remove
-- As the owner.
DELETE FROM platform.operators WHERE kind = $1 AND name = $2;
