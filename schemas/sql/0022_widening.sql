-- Streams whose table is to be widened, so that values which were put aside find their columns: what somebody asked for last.
CREATE TABLE widening (
    tenant text NOT NULL,
    source text NOT NULL,
    stream text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    moved bigint,                                         -- rows that had values aside
    reason text,                                          -- why it failed, or still waits
    PRIMARY KEY (tenant, source, stream),
    FOREIGN KEY (tenant, source, stream) REFERENCES stream ON DELETE CASCADE
);

ALTER TABLE widening ENABLE ROW LEVEL SECURITY;
ALTER TABLE widening FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON widening TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON widening TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON widening TO headwater_api USING (tenant = current_setting('headwater.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON widening TO headwater_api;
GRANT SELECT, UPDATE ON widening TO headwater_worker;
