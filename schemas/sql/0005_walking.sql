-- Walking: tokens that APIs gave, limits shared by all workers, and what the page ledger knows of waits and contents.

-- Tokens that are asked for before requests (OAuth 2, session, JWT exchange), by source and credentials. One worker
-- at a time asks for the next one: the lease. `version` is what a new token is stored by (compare-and-set).
CREATE TABLE source_token (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,                                   -- source, and a hash of who asks where
    sealed bytea,                                         -- JSON under AES-256-GCM; see store/keyring.py
    key_id text,
    has_refresh boolean NOT NULL DEFAULT false,           -- it holds a refresh token, which cannot be had again
    version bigint NOT NULL DEFAULT 0,
    lease uuid,
    leased_until timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

-- Limits: a bucket for each of a source's limits (per second, minute, …), and the quiet that its API asked for.
ALTER TABLE rate_limit
    ALTER COLUMN theoretical_at SET DEFAULT '-infinity',
    ADD COLUMN buckets timestamptz[] NOT NULL DEFAULT '{}',
    ADD COLUMN paused_until timestamptz;

-- Requests under way, for sources that allow only so many at once. A lease ends by itself when its worker dies.
CREATE UNLOGGED TABLE request_lease (
    tenant text NOT NULL,
    source text NOT NULL,
    slot integer NOT NULL,
    holder uuid NOT NULL,
    leased_until timestamptz NOT NULL,
    PRIMARY KEY (tenant, source, slot)
);

-- Reserves the next slot that every bucket allows (GCRA) and gives the seconds until then; a wait beyond `longest_s`
-- reserves nothing (`is_reserved` is false). A bucket is seconds between requests and how many may go at once.
CREATE FUNCTION reserve_slot(
    of_tenant text, of_key text, gaps double precision[], bursts integer[], weight integer, longest_s double precision,
    OUT wait_s double precision, OUT is_reserved boolean
) LANGUAGE plpgsql AS $$
DECLARE
    known rate_limit;
    now_at timestamptz;
    slot_at timestamptz;
    bucket timestamptz;
    next_buckets timestamptz[] := '{}';
    i integer;
BEGIN
    LOOP
        SELECT * INTO known FROM rate_limit WHERE tenant = of_tenant AND key = of_key FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO rate_limit (tenant, key) VALUES (of_tenant, of_key) ON CONFLICT DO NOTHING;
    END LOOP;
    now_at := clock_timestamp();
    slot_at := greatest(now_at, known.paused_until);
    FOR i IN 1 .. cardinality(gaps) LOOP
        bucket := coalesce(known.buckets[i], '-infinity');
        slot_at := greatest(slot_at, bucket - make_interval(secs => gaps[i] * (bursts[i] - weight)));
    END LOOP;
    wait_s := extract(epoch FROM slot_at - now_at);
    is_reserved := wait_s <= longest_s;
    IF is_reserved THEN
        FOR i IN 1 .. cardinality(gaps) LOOP
            bucket := greatest(coalesce(known.buckets[i], '-infinity'), slot_at);
            next_buckets := next_buckets || bucket + make_interval(secs => gaps[i] * weight);
        END LOOP;
        UPDATE rate_limit SET buckets = next_buckets WHERE tenant = of_tenant AND key = of_key;
    END IF;
END $$;

-- The ledger: when a page may be asked for (a reserved slot, or because the API said so), since when and how often it
-- was put off by its API, and what its records were, for the loop guard over contents.
ALTER TABLE page
    ADD COLUMN not_before timestamptz,
    ADD COLUMN has_slot boolean NOT NULL DEFAULT false,
    ADD COLUMN refused_at timestamptz,
    ADD COLUMN refused_count integer NOT NULL DEFAULT 0,
    ADD COLUMN content_digest bytea;
CREATE INDEX page_content ON page (run_at, run_id, attempt, walk, content_digest) WHERE content_digest IS NOT NULL;

-- A walk keeps its two highest cursor values (below the lower one everything was seen, where records ascend), and
-- the token at which the next run goes on when a limit ends it.
ALTER TABLE walk ADD COLUMN below jsonb, ADD COLUMN resume jsonb;

-- Where the next run goes on after a walk that a limit ended: {"token", "highest", "stream_version"}.
ALTER TABLE stream_cursor ADD COLUMN resume jsonb;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['source_token', 'request_lease'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO headwater_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO headwater_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY api_tenant ON %I TO headwater_api USING (tenant = current_setting(''headwater.tenant'', true))',
            name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION reserve_slot(text, text, double precision[], integer[], integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reserve_slot(text, text, double precision[], integer[], integer, double precision)
    TO headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON source_token, request_lease TO headwater_worker;
GRANT SELECT, UPDATE, DELETE ON source_token TO headwater_api;   -- keys are rotated, tokens forgotten
