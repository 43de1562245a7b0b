-- The system tables. Everything belongs to headwater_owner; the roles' rights and the row-level security stand at
-- the end. Times are timestamptz; ids are derived (UUID version 8, milliseconds first), so that an id of a run
-- names the partition in which its rows live (`due_at`, `run_at` = the milliseconds of the run's id).

CREATE TABLE tenant (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'),
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE api_key (
    id text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{1,32}$'),
    tenant text REFERENCES tenant ON DELETE CASCADE,      -- null: an admin key, which may name any tenant
    name text NOT NULL DEFAULT '',
    digest bytea NOT NULL,                                -- SHA-256 of the whole key
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE secret (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    sealed bytea NOT NULL,                                -- AES-256-GCM; see store/keyring.py for the layout
    key_id text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

CREATE TABLE source (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

-- Immutable; the id is a hash of the content, so that the same definition applied twice is one version.
CREATE TABLE stream_version (
    id uuid PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    source text NOT NULL,
    stream text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE stream (
    tenant text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    version_id uuid NOT NULL REFERENCES stream_version,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, source, name),
    FOREIGN KEY (tenant, source) REFERENCES source ON DELETE CASCADE
);

CREATE TABLE schedule (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    state text NOT NULL DEFAULT 'active'
        CHECK (state IN ('active', 'paused', 'disabled', 'failed', 'expired', 'error')),
    state_reason text,
    next_at timestamptz,                                  -- null: manual, or over
    last_due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);
CREATE INDEX schedule_due ON schedule (next_at) WHERE state = 'active' AND next_at IS NOT NULL;

CREATE TABLE run (
    id uuid NOT NULL,
    due_at timestamptz NOT NULL,                          -- the boundary, whole milliseconds: the time in the id
    tenant text NOT NULL,
    source text NOT NULL,
    stream text NOT NULL,
    stream_version uuid,                                  -- pinned when the run is admitted
    schedule text,
    trigger text NOT NULL CHECK (trigger IN ('schedule', 'api', 'cli', 'ui', 'amqp', 'webhook', 'after')),
    mode text NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'incremental', 'full', 'dry_run')),
    force boolean NOT NULL DEFAULT false,
    parameters jsonb NOT NULL DEFAULT '{}',
    time_window jsonb,
    generation integer NOT NULL DEFAULT 1,
    priority smallint NOT NULL DEFAULT 1,                 -- 0 manual, 1 scheduled, 2 backfill
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled', 'skipped')),
    attempt integer NOT NULL DEFAULT 1,
    attempts_max integer NOT NULL DEFAULT 1,
    admitted_at timestamptz,                              -- holds its stream's slot since then
    published_at timestamptz,                             -- run.due is confirmed; null: the relay owes it
    parked_until timestamptz,
    waits_for text,
    skip_reason text,
    started_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    progress_at timestamptz,                              -- the last settled page; the reaper looks at it
    finished_at timestamptz,
    stop_reason text,
    warnings text[] NOT NULL DEFAULT '{}',
    error_kind text,
    error_message text,
    cursor_from jsonb,
    pages bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    received bigint NOT NULL DEFAULT 0,
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    late bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (due_at, id)
) PARTITION BY RANGE (due_at);
CREATE INDEX run_waiting ON run (tenant, priority, due_at) WHERE state = 'queued' AND admitted_at IS NULL;
CREATE INDEX run_unpublished ON run (admitted_at) WHERE state = 'queued' AND published_at IS NULL;
CREATE INDEX run_running ON run (progress_at) WHERE state = 'running';
CREATE INDEX run_of_stream ON run (tenant, source, stream, due_at DESC);

CREATE TABLE walk (
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL,
    number integer NOT NULL,
    tenant text NOT NULL,
    first_token jsonb NOT NULL,
    last_number integer,                                  -- set by the page that finds the end; the smallest wins
    settled_count integer NOT NULL DEFAULT 0,
    record_count bigint NOT NULL DEFAULT 0,
    stop_reason text,
    highest jsonb,                                        -- highest cursor value seen, as stored by the persister
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_at, run_id, attempt, number)
) PARTITION BY RANGE (run_at);

CREATE TABLE page (
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL,
    walk integer NOT NULL,
    number integer NOT NULL,
    tenant text NOT NULL,
    token_digest bytea NOT NULL,                          -- SHA-256 of the canonical token
    next_digest bytea,
    next_token jsonb,
    stop_reason text,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    status integer,
    body_bytes bigint,
    received integer,
    rejected integer,
    PRIMARY KEY (run_at, run_id, attempt, walk, number),
    UNIQUE (run_at, run_id, attempt, walk, token_digest)  -- the loop guard over the whole walk
) PARTITION BY RANGE (run_at);

CREATE TABLE rejected_record (
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL,
    walk integer NOT NULL,
    page integer NOT NULL,
    position integer NOT NULL,
    tenant text NOT NULL,
    reason text NOT NULL,
    record text NOT NULL,                                 -- JSON text, cut to 64 KiB
    PRIMARY KEY (run_at, run_id, attempt, walk, page, position)
) PARTITION BY RANGE (run_at);

-- One cursor-moving run per stream: its row here. Every way to a final state removes it.
CREATE TABLE stream_slot (
    tenant text NOT NULL,
    source text NOT NULL,
    stream text NOT NULL,
    run_id uuid NOT NULL,
    run_at timestamptz NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, source, stream)
);

-- Appended rows that a run has loaded and not yet closed: the next first load of the stream removes them.
CREATE TABLE append_residue (
    run_id uuid NOT NULL,
    attempt integer NOT NULL,
    tenant text NOT NULL,
    source text NOT NULL,
    stream text NOT NULL,
    table_name text NOT NULL,
    PRIMARY KEY (run_id, attempt)
);
CREATE INDEX append_residue_of_stream ON append_residue (tenant, source, stream);

CREATE TABLE stream_cursor (
    tenant text NOT NULL,
    source text NOT NULL,
    stream text NOT NULL,
    value jsonb,
    record_id text,
    synced_at timestamptz,
    run_id uuid,
    version bigint NOT NULL DEFAULT 1,                    -- compare-and-set
    PRIMARY KEY (tenant, source, stream)
);

CREATE UNLOGGED TABLE rate_limit (
    tenant text NOT NULL,
    key text NOT NULL,
    theoretical_at timestamptz NOT NULL,                  -- GCRA: when the bucket is empty again
    PRIMARY KEY (tenant, key)
);

CREATE TABLE endpoint (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

CREATE TABLE delivery (
    id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    receipt_id uuid NOT NULL,                             -- this receipt; a duplicate has another one
    tenant text NOT NULL,
    endpoint text NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'done', 'filtered', 'dead')),
    reason text,
    type text,
    provider_id text,
    method text NOT NULL,
    url text NOT NULL,
    remote text,
    headers jsonb NOT NULL,                               -- [[name, value], …] in wire order, latin-1
    body bytea NOT NULL,
    body_sha256 bytea NOT NULL,
    verification jsonb NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (received_at, id)
) PARTITION BY RANGE (received_at);
CREATE INDEX delivery_id ON delivery (id);
CREATE INDEX delivery_of_endpoint ON delivery (tenant, endpoint, received_at DESC);

CREATE TABLE delivery_duplicate (
    receipt_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    tenant text NOT NULL,
    endpoint text NOT NULL,
    delivery_id uuid NOT NULL,
    body_sha256 bytea NOT NULL,
    PRIMARY KEY (received_at, receipt_id)
) PARTITION BY RANGE (received_at);
CREATE INDEX delivery_duplicate_of ON delivery_duplicate (delivery_id);

-- Unpartitioned, with a window of its own: retention of deliveries never reopens a claim.
CREATE TABLE dedupe_claim (
    tenant text NOT NULL,
    endpoint text NOT NULL,
    key text NOT NULL,
    delivery_id uuid NOT NULL,
    receipt_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, endpoint, key)
);
CREATE INDEX dedupe_claim_expiry ON dedupe_claim (expires_at);

-- What follows from a commit is a row of that commit; the relay publishes it and removes it.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,                                  -- the message id
    tenant text NOT NULL,
    exchange text NOT NULL DEFAULT 'headwater',
    type text NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea NOT NULL,
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_due ON outbox (not_before, id);

CREATE TABLE payload (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX payload_age ON payload (created_at);

CREATE TABLE dead_letter (
    id uuid PRIMARY KEY,
    tenant text,
    queue text NOT NULL,
    type text NOT NULL,
    message_id text NOT NULL,
    reason text NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    dead_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dead_letter_open ON dead_letter (tenant, dead_at DESC);

-- Partitions: one a day. The default partition catches what no day takes; rows in it raise an alarm.
CREATE FUNCTION make_partitions(days_back integer, days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    parent text;
    day date;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headwater.partitions'));
    FOREACH parent IN ARRAY ARRAY['run', 'walk', 'page', 'rejected_record', 'delivery', 'delivery_duplicate'] LOOP
        IF to_regclass('headwater.' || parent || '_default') IS NULL THEN
            EXECUTE format('CREATE TABLE headwater.%I PARTITION OF headwater.%I DEFAULT', parent || '_default', parent);
        END IF;
        FOR day IN SELECT generate_series(
            (now() AT TIME ZONE 'UTC')::date - days_back, (now() AT TIME ZONE 'UTC')::date + days_ahead, interval '1 day'
        )::date LOOP
            IF to_regclass('headwater.' || parent || to_char(day, '_YYYYMMDD')) IS NULL THEN
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE headwater.%I PARTITION OF headwater.%I FOR VALUES FROM (%L) TO (%L)',
                        parent || to_char(day, '_YYYYMMDD'), parent,
                        day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
                    made := made + 1;
                EXCEPTION WHEN check_violation THEN
                    NULL;  -- the default partition already holds rows of that day: they stay there, under alarm
                END;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- Drops the daily partitions of a table that are older than the given day. Returns how many.
CREATE FUNCTION drop_partitions(parent text, older_than date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    child text;
    dropped integer := 0;
BEGIN
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = ('headwater.' || quote_ident(parent))::regclass
           AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(older_than, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE headwater.%I', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Rows that no daily partition took, by table: an alarm.
CREATE FUNCTION rows_in_default_partitions() RETURNS TABLE (name text, row_count bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    FOREACH name IN ARRAY ARRAY['run', 'walk', 'page', 'rejected_record', 'delivery', 'delivery_duplicate'] LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM headwater.%I LIMIT 1000) AS few', name || '_default')
           INTO row_count;
        RETURN NEXT;
    END LOOP;
END $$;

-- An API key is looked up before its tenant is known.
CREATE FUNCTION find_api_key(wanted text) RETURNS SETOF api_key
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
    SELECT * FROM headwater.api_key WHERE id = wanted
$$;

SELECT make_partitions(1, 7);

-- Row-level security. `api` sees the tenant that its transaction names (and everything where it says that it acts
-- for an admin key); `worker` serves all tenants; `owner` maintains.
DO $$
DECLARE
    name text;
    tenant_column text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'tenant', 'api_key', 'secret', 'source', 'stream_version', 'stream', 'schedule', 'run', 'walk', 'page',
        'rejected_record', 'stream_slot', 'append_residue', 'stream_cursor', 'rate_limit', 'endpoint', 'delivery',
        'delivery_duplicate', 'dedupe_claim', 'outbox', 'payload', 'dead_letter'
    ] LOOP
        tenant_column := CASE name WHEN 'tenant' THEN 'name' ELSE 'tenant' END;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO headwater_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO headwater_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY api_tenant ON %I TO headwater_api USING (%I = current_setting(''headwater.tenant'', true))',
            name, tenant_column);
        IF name IN ('tenant', 'api_key', 'dead_letter') THEN
            EXECUTE format(
                'CREATE POLICY api_admin ON %I TO headwater_api USING (current_setting(''headwater.admin'', true) = ''on'')',
                name);
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA headwater TO headwater_api, headwater_worker, headwater_loader;
REVOKE ALL ON FUNCTION make_partitions(integer, integer), drop_partitions(text, date),
    rows_in_default_partitions(), find_api_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions(integer, integer), drop_partitions(text, date),
    rows_in_default_partitions() TO headwater_worker;
GRANT EXECUTE ON FUNCTION find_api_key(text) TO headwater_api;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    tenant, api_key, secret, source, stream_version, stream, schedule, endpoint, stream_cursor, run, outbox,
    dead_letter, stream_slot, append_residue
    TO headwater_api;
GRANT SELECT ON walk, page, rejected_record, delivery, delivery_duplicate TO headwater_api;

GRANT SELECT ON tenant, secret, source, stream_version, stream, endpoint TO headwater_worker;
GRANT SELECT, UPDATE ON schedule TO headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    run, walk, page, rejected_record, stream_slot, append_residue, stream_cursor, rate_limit, outbox, payload,
    dedupe_claim, dead_letter
    TO headwater_worker;
GRANT SELECT, INSERT, UPDATE ON delivery, delivery_duplicate TO headwater_worker;
