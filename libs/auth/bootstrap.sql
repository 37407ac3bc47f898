-- Run once per database by a superuser (db_bootstrap); repeating changes nothing.
-- name: auth_bootstrap
DO $bootstrap$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES
        ('holdfast_owner', 'NOLOGIN'),
        ('holdfast_migrate', 'LOGIN NOINHERIT'),
        ('holdfast_app', 'LOGIN NOINHERIT'),
        ('holdfast_dispatch', 'LOGIN NOINHERIT')) roles (name, options)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE %s',
                           wanted.name, wanted.options);
        END IF;
    END LOOP;
    GRANT holdfast_owner TO holdfast_migrate;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO holdfast_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO holdfast_migrate, holdfast_app, '
                   'holdfast_dispatch', current_database());
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
END
$bootstrap$;
