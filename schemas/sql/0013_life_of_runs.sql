-- The life of runs: overlap, limits, retries, deadlines, what follows from a run's end, backfills.

ALTER TABLE run
    ADD COLUMN boundary timestamptz,                      -- the due time it stands for, where that is not due_at (backfill)
    ADD COLUMN at_once integer,                           -- so many of its kind at once, beside others of the stream; null: alone
    ADD COLUMN supersedes boolean NOT NULL DEFAULT false, -- ends the older runs of its schedule and stream
    ADD COLUMN retry jsonb,                               -- {kind, delay_s, factor, longest_s, jitter}; null: at once
    ADD COLUMN failures jsonb NOT NULL DEFAULT '[]',      -- attempts that failed: [{attempt, class, message, …}]
    ADD COLUMN timeout_s double precision,                         -- from its first start, over all attempts
    ADD COLUMN deadline_at timestamptz,
    ADD COLUMN ended_by text,                             -- who cancelled it
    ADD COLUMN backfill_id uuid;

-- The order of admission.
CREATE INDEX run_queued ON run (tenant, priority, due_at, id) WHERE state = 'queued' AND admitted_at IS NULL;
DROP INDEX run_waiting;
CREATE INDEX run_of_schedule ON run (tenant, schedule, due_at DESC) WHERE schedule IS NOT NULL;
CREATE INDEX run_admitted ON run (tenant, source, schedule) WHERE admitted_at IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX run_superseding ON run (tenant) WHERE supersedes AND state = 'queued' AND admitted_at IS NULL;
CREATE INDEX run_deadline ON run (deadline_at) WHERE deadline_at IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX run_of_backfill ON run (backfill_id, boundary) WHERE backfill_id IS NOT NULL;

-- Few schedules and sources have a limit: the admission asks these only.
CREATE INDEX schedule_limited ON schedule (tenant, name) WHERE definition ->> 'max_running' IS NOT NULL;
CREATE INDEX source_limited ON source (tenant, name) WHERE definition ->> 'max_running' IS NOT NULL;
-- Schedules that start after others.
CREATE INDEX schedule_after ON schedule (tenant, name) WHERE definition ->> 'after' IS NOT NULL;

-- Runs of schedules that ended and are not counted yet: a row of the commit that ended them.
CREATE TABLE run_end (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    schedule text NOT NULL,
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    generation integer NOT NULL
);
CREATE INDEX run_end_of_firing ON run_end (tenant, schedule, run_at, generation);

-- What became of a schedule's runs, whatever is still kept of them.
CREATE TABLE schedule_record (
    tenant text NOT NULL,
    schedule text NOT NULL,
    total bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    partial bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    consecutive_failures integer NOT NULL DEFAULT 0,      -- firings in a row, of which a run failed
    last_success_at timestamptz,
    last_failure_at timestamptz,
    PRIMARY KEY (tenant, schedule),
    FOREIGN KEY (tenant, schedule) REFERENCES schedule (tenant, name) ON DELETE CASCADE
);

-- By whom and until when a schedule is paused, and who made it.
ALTER TABLE schedule
    ADD COLUMN paused_by text,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_until timestamptz,
    ADD COLUMN created_by text;
CREATE INDEX schedule_paused_until ON schedule (paused_until) WHERE state = 'paused' AND paused_until IS NOT NULL;

-- Results that a schedule with `after` has heard and not yet answered with runs: the latest of each upstream.
CREATE TABLE chain_result (
    tenant text NOT NULL,
    schedule text NOT NULL,                               -- the one that waits
    upstream text NOT NULL,
    heard_at timestamptz NOT NULL,                        -- when the last run of the upstream's firing ended
    run_ids uuid[] NOT NULL,
    result jsonb NOT NULL,
    PRIMARY KEY (tenant, schedule, upstream),
    FOREIGN KEY (tenant, schedule) REFERENCES schedule (tenant, name) ON DELETE CASCADE
);
-- A debounced start: when it has been quiet for long enough.
CREATE TABLE chain_start (
    tenant text NOT NULL,
    schedule text NOT NULL,
    start_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, schedule),
    FOREIGN KEY (tenant, schedule) REFERENCES schedule (tenant, name) ON DELETE CASCADE
);
CREATE INDEX chain_start_due ON chain_start (start_at);

-- Past windows that are run again, boundary by boundary.
CREATE TABLE backfill (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    schedule text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,                           -- exclusive
    forced boolean NOT NULL DEFAULT false,
    parallel integer NOT NULL DEFAULT 1,
    per_minute double precision,                          -- boundaries; null: as fast as they end
    parameters jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    reason text,
    boundary_count integer NOT NULL,                      -- in the window, when it was made
    started_count integer NOT NULL DEFAULT 0,             -- boundaries whose runs it made
    passed_count integer NOT NULL DEFAULT 0,              -- boundaries that had their runs already
    run_count integer NOT NULL DEFAULT 0,
    position timestamptz NOT NULL,                        -- boundaries before it are done with
    next_start_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    FOREIGN KEY (tenant, schedule) REFERENCES schedule (tenant, name) ON DELETE CASCADE
);
CREATE INDEX backfill_running ON backfill (next_start_at) WHERE state = 'running';
CREATE INDEX backfill_of_tenant ON backfill (tenant, created_at DESC, id DESC);

-- Why a queued run is not under way yet.
CREATE FUNCTION run_waits_for(r run) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN r.state <> 'queued' THEN r.waits_for
        WHEN r.parked_until > clock_timestamp() THEN coalesce(r.waits_for, 'retry')
        WHEN r.published_at IS NOT NULL THEN 'fetcher'
        WHEN r.admitted_at IS NOT NULL THEN 'broker'
        WHEN r.at_once IS NULL AND EXISTS (
            SELECT 1 FROM headwater.stream_slot t WHERE (t.tenant, t.source, t.stream) = (r.tenant, r.source, r.stream))
            THEN 'stream'
        WHEN r.at_once IS NOT NULL AND r.at_once <= (
            SELECT count(*) FROM headwater.run u
             WHERE (u.tenant, u.source, u.stream, u.schedule) = (r.tenant, r.source, r.stream, r.schedule)
               AND u.backfill_id IS NOT DISTINCT FROM r.backfill_id
               AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running'))
            THEN CASE WHEN r.backfill_id IS NULL THEN 'overlap' ELSE 'backfill' END
        WHEN (SELECT (s.definition ->> 'max_running')::integer FROM headwater.schedule s
               WHERE (s.tenant, s.name) = (r.tenant, r.schedule)) <= (
            SELECT count(*) FROM headwater.run u
             WHERE (u.tenant, u.schedule) = (r.tenant, r.schedule)
               AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running'))
            THEN 'schedule_limit'
        WHEN (SELECT (s.definition ->> 'max_running')::integer FROM headwater.source s
               WHERE (s.tenant, s.name) = (r.tenant, r.source)) <= (
            SELECT count(*) FROM headwater.run u
             WHERE (u.tenant, u.source) = (r.tenant, r.source)
               AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running'))
            THEN 'source_limit'
        WHEN (SELECT (t.settings ->> 'max_running')::integer FROM headwater.tenant t WHERE t.name = r.tenant) <= (
            SELECT count(*) FROM headwater.run u
             WHERE u.tenant = r.tenant AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running'))
            THEN 'tenant_limit'
        ELSE 'admission'
    END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['run_end', 'schedule_record', 'chain_result', 'chain_start', 'backfill'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO headwater_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO headwater_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY api_tenant ON %I TO headwater_api USING (tenant = current_setting(''headwater.tenant'', true))',
            name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION run_waits_for(run) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION run_waits_for(run) TO headwater_api, headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON run_end, schedule_record, chain_result, chain_start TO headwater_worker;
GRANT SELECT, UPDATE ON backfill TO headwater_worker;
GRANT INSERT ON run_end TO headwater_api;
GRANT SELECT, UPDATE ON schedule_record TO headwater_api;
GRANT SELECT, DELETE ON chain_result, chain_start TO headwater_api;
GRANT SELECT, INSERT, UPDATE ON backfill TO headwater_api;
