-- Calendars; what a schedule's row keeps of those it names; and what timers remember of one another.

CREATE TABLE calendar (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

ALTER TABLE schedule
    ADD COLUMN calendars jsonb NOT NULL DEFAULT '{}',     -- definitions of the calendars it names, as they are now
    ADD COLUMN fired_count bigint NOT NULL DEFAULT 0;     -- due times that made runs, for max_runs

-- With many due at once each tenant gets its share.
CREATE INDEX schedule_due_of_tenant ON schedule (tenant, next_at) WHERE state = 'active' AND next_at IS NOT NULL;
-- Schedules of a calendar, to be computed anew when it changes.
CREATE INDEX schedule_with_calendars ON schedule (tenant) WHERE calendars <> '{}';

-- What any timer has to know of what another one did, by name: the version of the time zones, for example.
CREATE TABLE timer_memory (
    name text PRIMARY KEY,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE calendar ENABLE ROW LEVEL SECURITY;
ALTER TABLE calendar FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON calendar TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON calendar TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON calendar TO headwater_api USING (tenant = current_setting('headwater.tenant', true));

GRANT SELECT, INSERT, UPDATE, DELETE ON calendar TO headwater_api;
GRANT SELECT ON calendar TO headwater_worker;
GRANT SELECT, INSERT, UPDATE ON timer_memory TO headwater_worker;
