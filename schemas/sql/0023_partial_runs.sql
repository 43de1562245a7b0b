-- What partial runs leave for the next one.

-- Rows that partial runs have appended since the cursor of their stream last moved. They count. A run that begins at the
-- cursor again brings them again, and removes them with its first load; one that goes on where a limit cut does not.
CREATE TABLE append_since (
    run_id uuid NOT NULL,
    attempt integer NOT NULL,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    source text NOT NULL,
    stream text NOT NULL,
    table_name text NOT NULL,
    PRIMARY KEY (run_id, attempt)
);
CREATE INDEX append_since_of_stream ON append_since (tenant, source, stream);
ALTER TABLE append_since ENABLE ROW LEVEL SECURITY;
ALTER TABLE append_since FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON append_since TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON append_since TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON append_since TO headwater_api USING (tenant = current_setting('headwater.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON append_since TO headwater_worker, headwater_api;

-- The warning which says that a walk brought less than there is, so that its slice or parent is asked for again.
ALTER TABLE walk ADD COLUMN shortfall text;
