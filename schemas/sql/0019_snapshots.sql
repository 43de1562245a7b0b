-- Configurations that were kept under a name, as an export gives them: secrets are only named.

CREATE TABLE snapshot (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    note text,
    definition jsonb NOT NULL,                            -- the manifest
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

ALTER TABLE snapshot ENABLE ROW LEVEL SECURITY;
ALTER TABLE snapshot FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON snapshot TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON snapshot TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON snapshot TO headwater_api USING (tenant = current_setting('headwater.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON snapshot TO headwater_api;

CREATE TRIGGER audited AFTER INSERT OR DELETE OR UPDATE OF definition ON snapshot
    FOR EACH ROW WHEN (current_setting('headwater.actor', true) <> '') EXECUTE FUNCTION audit_change('snapshot');
