-- Receiving: refusals, counts, secrets' use, handshakes, replays, deliveries in the order of a key, alarms.

-- Deliveries tell what their body was read as, how often they were replayed, and in which transaction they came: the
-- last one is the position of whoever follows them, since a transaction that ended later never has a lower one behind
-- the oldest that is still open.
ALTER TABLE delivery
    ADD COLUMN form text,
    ADD COLUMN replay_count integer NOT NULL DEFAULT 0,
    ADD COLUMN replayed_at timestamptz,
    ADD COLUMN entered bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint;
CREATE INDEX delivery_entered ON delivery USING brin (entered) WITH (pages_per_range = 32);

-- A duplicate whose bytes differ from the first one's.
ALTER TABLE delivery_duplicate ADD COLUMN is_conflict boolean NOT NULL DEFAULT false;

-- Deliveries of endpoints with `order_by`, until they are settled: taken by key, oldest position first. The body is
-- here and nowhere else until then.
CREATE TABLE ordered_delivery (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    endpoint text NOT NULL,
    order_key text NOT NULL,
    receipt_id uuid NOT NULL UNIQUE,
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    headers jsonb NOT NULL,                               -- of its message
    body bytea NOT NULL
);
CREATE INDEX ordered_delivery_of_key ON ordered_delivery (tenant, endpoint, order_key, position);

-- Replays, claimed by (delivery, number).
CREATE TABLE delivery_replay (
    tenant text NOT NULL,
    delivery_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    number integer NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'filtered', 'dead', 'superseded')),
    reason text,
    requested_by text,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    PRIMARY KEY (delivery_id, received_at, number)
);
CREATE INDEX delivery_replay_age ON delivery_replay (requested_at);

-- Requests that were refused: a sample of them (the first of each minute), without anything that could be a secret.
CREATE TABLE refusal (
    id uuid PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    endpoint text NOT NULL,
    refused_at timestamptz NOT NULL,
    status integer NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL DEFAULT '',                      -- the header or field concerned, never its value
    skew_s double precision,                              -- ours less the signed time; only where the signature was right
    method text NOT NULL,
    path text NOT NULL,                                   -- without its query
    remote text,
    headers jsonb NOT NULL,                               -- [[name, length of the value], …] in wire order
    body_bytes bigint,
    body_sha256 bytea
);
CREATE INDEX refusal_of_tenant ON refusal (tenant, refused_at DESC, id DESC);
CREATE INDEX refusal_age ON refusal (refused_at);

-- What came to an endpoint, in slots of five minutes: accepted, handshake, refused by reason.
CREATE TABLE endpoint_count (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    endpoint text NOT NULL,
    slot timestamptz NOT NULL,
    outcome text NOT NULL,
    request_count bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, endpoint, slot, outcome)
);
CREATE INDEX endpoint_count_age ON endpoint_count (slot);

-- When a secret last verified something. Counts since the secret's `updated_at`.
CREATE TABLE secret_use (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    endpoint text NOT NULL,
    secret text NOT NULL,                                 -- its name in table `secret`
    last_used_at timestamptz NOT NULL,
    use_count bigint NOT NULL,
    PRIMARY KEY (tenant, endpoint, secret)
);

-- Secrets that providers handed over in their handshake; the operator may look once.
CREATE TABLE endpoint_handshake (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    endpoint text NOT NULL,
    secret text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    shown_at timestamptz,
    PRIMARY KEY (tenant, endpoint)
);

-- An alarm is on while its row is there.
CREATE TABLE endpoint_alarm (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    endpoint text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('silence', 'refusals')),
    since timestamptz NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, endpoint, kind)
);

-- Keep the secret that a provider hands over, if the endpoint is there and has none of that kind yet. The receiver may
-- write no other secret.
CREATE FUNCTION keep_handshake_secret(of_tenant text, of_endpoint text, secret_name text, sealed_value bytea, sealed_by text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    PERFORM 1 FROM endpoint WHERE tenant = of_tenant AND name = of_endpoint AND enabled;
    IF NOT FOUND OR secret_name <> 'endpoint/' || of_endpoint || '/handshake' THEN
        RETURN false;
    END IF;
    INSERT INTO endpoint_handshake (tenant, endpoint, secret) VALUES (of_tenant, of_endpoint, secret_name)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO secret (tenant, name, sealed, key_id) VALUES (of_tenant, secret_name, sealed_value, sealed_by)
    ON CONFLICT (tenant, name) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, updated_at = clock_timestamp();
    PERFORM pg_notify('headwater_config', of_tenant);
    RETURN true;
END $$;

-- A body as JSON, null when it is none (or none that jsonb can hold): for searches by payload.
CREATE FUNCTION body_document(body bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN others THEN
    RETURN NULL;
END $$;

-- Remove deliveries of an endpoint that are older than it keeps them; at most `most` a call. What every endpoint is
-- done with goes by dropping partitions.
CREATE FUNCTION forget_deliveries(of_tenant text, of_endpoint text, older_than timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    DELETE FROM delivery_duplicate WHERE tenant = of_tenant AND endpoint = of_endpoint AND received_at < older_than;
    WITH old AS (
        SELECT received_at, id FROM delivery
         WHERE tenant = of_tenant AND endpoint = of_endpoint AND received_at < older_than AND state <> 'accepted'
         ORDER BY received_at LIMIT most
    )
    DELETE FROM delivery d USING old WHERE d.received_at = old.received_at AND d.id = old.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'ordered_delivery', 'delivery_replay', 'refusal', 'endpoint_count', 'secret_use', 'endpoint_handshake',
        'endpoint_alarm'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO headwater_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO headwater_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY api_tenant ON %I TO headwater_api USING (tenant = current_setting(''headwater.tenant'', true))',
            name);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION keep_handshake_secret(text, text, text, bytea, text), body_document(bytea),
    forget_deliveries(text, text, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_handshake_secret(text, text, text, bytea, text),
    forget_deliveries(text, text, timestamptz, integer) TO headwater_worker;
GRANT EXECUTE ON FUNCTION body_document(bytea) TO headwater_api, headwater_worker;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    ordered_delivery, delivery_replay, refusal, endpoint_count, secret_use, endpoint_alarm TO headwater_worker;
GRANT SELECT ON endpoint_handshake TO headwater_worker;
GRANT SELECT ON ordered_delivery, endpoint_count, secret_use, endpoint_alarm TO headwater_api;
GRANT SELECT, INSERT ON delivery_replay TO headwater_api;
GRANT UPDATE (replay_count) ON delivery TO headwater_api;  -- a request for a replay takes the delivery's next number
GRANT SELECT, DELETE ON refusal TO headwater_api;
GRANT SELECT, UPDATE, DELETE ON endpoint_handshake TO headwater_api;
GRANT DELETE ON secret_use, endpoint_count, endpoint_alarm TO headwater_api;
