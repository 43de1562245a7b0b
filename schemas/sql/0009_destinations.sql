-- Destinations with a name, and the messages that deliveries owe to exchanges.

CREATE TABLE destination (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

-- Records of deliveries on their way to an exchange: inserted with the delivery, removed when the broker has confirmed.
CREATE TABLE owed_record (
    id uuid PRIMARY KEY,                                  -- derived; the message's id
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    destination text NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,         -- the order in which they are sent
    routing_key text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    owed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX owed_record_of ON owed_record (tenant, destination, position);

-- How it went with a destination's exchange the last time; no row: nothing is known against it.
CREATE TABLE destination_trouble (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    destination text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_try_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 1,
    reason text NOT NULL,
    PRIMARY KEY (tenant, destination)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['destination', 'owed_record', 'destination_trouble'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON %I TO headwater_owner USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO headwater_worker USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY api_tenant ON %I TO headwater_api USING (tenant = current_setting(''headwater.tenant'', true))',
            name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON destination, destination_trouble TO headwater_api;
GRANT SELECT ON owed_record TO headwater_api;
GRANT SELECT ON destination TO headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON owed_record, destination_trouble TO headwater_worker;
