-- Walks for the records of a parent stream, and how far each of them was read.

-- A walk may be one for a record of a parent: `parent_key` tells it from others, `parent` is what people see of it.
-- Such walks wait until few enough others of their run are under way: walk 0 says how many may be. `cursor_from` is
-- what the walk went on from, for compare-and-set.
ALTER TABLE walk
    ADD COLUMN level smallint NOT NULL DEFAULT 0,
    ADD COLUMN is_waiting boolean NOT NULL DEFAULT false,
    ADD COLUMN children_at_once integer,
    ADD COLUMN parent jsonb,
    ADD COLUMN parent_key bytea;
CREATE UNIQUE INDEX walk_parent ON walk (run_at, run_id, attempt, parent_key) WHERE parent_key IS NOT NULL;
CREATE INDEX walk_waiting ON walk (run_at, run_id, attempt, number) WHERE is_waiting;
CREATE INDEX walk_open ON walk (run_at, run_id, attempt, number) WHERE last_number IS NULL;

ALTER TABLE run
    ADD COLUMN parents bigint NOT NULL DEFAULT 0,         -- walks for records of parents
    ADD COLUMN skipped bigint NOT NULL DEFAULT 0,         -- those whose parent is not there any more
    ADD COLUMN cursor_version bigint NOT NULL DEFAULT 0;  -- that of the stream's cursor when the attempt began

-- How far the walk of one parent was read. What is newer than the stream's own cursor counts.
CREATE TABLE parent_cursor (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    source text NOT NULL,
    stream text NOT NULL,
    parent_key bytea NOT NULL,
    parent jsonb NOT NULL,
    value jsonb,
    record_id text,
    resume jsonb,                                         -- as that of stream_cursor
    synced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id uuid,
    PRIMARY KEY (tenant, source, stream, parent_key)
);
ALTER TABLE parent_cursor ENABLE ROW LEVEL SECURITY;
ALTER TABLE parent_cursor FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON parent_cursor TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON parent_cursor TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON parent_cursor TO headwater_api USING (tenant = current_setting('headwater.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON parent_cursor TO headwater_worker, headwater_api;
