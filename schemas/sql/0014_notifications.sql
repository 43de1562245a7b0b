-- Notifications: who wants to hear of what, what happened, what is to be sent, and each attempt to send it.

CREATE TABLE notification_rule (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL,
    definition jsonb NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, name)
);

-- Targets that said that they are gone (410): nothing is sent there until somebody enables the rule again.
CREATE TABLE notification_stop (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    target text NOT NULL,                                 -- as in `notification`
    reason text NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, target)
);

-- What happened besides the end of a run (which is told by `run.finished`): a row of the transaction in which it did.
-- The notifier plans notifications from it, once.
CREATE TABLE happening (
    id uuid PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    event text NOT NULL,
    subject_kind text NOT NULL CHECK (subject_kind IN ('run', 'schedule', 'endpoint', 'tenant', 'notification')),
    subject text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail jsonb NOT NULL DEFAULT '{}',
    planned_at timestamptz
);
CREATE INDEX happening_unplanned ON happening (at, id) WHERE planned_at IS NULL;
CREATE INDEX happening_age ON happening (at);

-- One for each event and target. The id derives from both and names the partition (`created_at`: its milliseconds).
CREATE TABLE notification (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    tenant text NOT NULL,
    rule text,                                            -- null: a schedule's `callback_url`
    event text NOT NULL,
    schedule text,
    stream text,
    endpoint text,
    run_id uuid,
    kind text NOT NULL,                                   -- callback, email, slack, teams, amqp
    target text NOT NULL,                                 -- which target of whom; one that is gone stops by it
    address text NOT NULL,                                -- for people, without secrets
    definition jsonb NOT NULL,                            -- the target as it was then; secrets are only named
    content jsonb NOT NULL,                               -- {subject, text, facts}: the same for every attempt
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempt_count integer NOT NULL DEFAULT 0,
    try_count integer NOT NULL DEFAULT 0,                 -- attempts since it was last set to go; the retry table counts these
    next_at timestamptz,                                  -- while it is being sent: when somebody else may take it
    last_error text,
    settled_at timestamptz,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX notification_due ON notification (next_at) WHERE state = 'waiting';
CREATE INDEX notification_of_tenant ON notification (tenant, created_at DESC, id DESC);

CREATE TABLE notification_attempt (
    notification_id uuid NOT NULL,
    created_at timestamptz NOT NULL,                      -- the notification's
    number integer NOT NULL,
    tenant text NOT NULL,
    begun_at timestamptz NOT NULL,
    duration_s double precision NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('sent', 'failed', 'gone')),
    status integer,
    error text,
    answer text,                                          -- its beginning
    PRIMARY KEY (created_at, notification_id, number)
) PARTITION BY RANGE (created_at);

-- Schedules that say who is to be told: few of many.
CREATE INDEX schedule_tells ON schedule (tenant)
    WHERE definition ->> 'callback_url' IS NOT NULL OR definition -> 'notify' <> '[]'::jsonb;

-- The notifications that a schedule names under `notify`: by name, or as {events, to}.
CREATE FUNCTION notified_by(notify jsonb) RETURNS TABLE (name text, events jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.item #>> '{}', NULL::jsonb FROM jsonb_array_elements(notify) AS e (item) WHERE jsonb_typeof(e.item) = 'string'
    UNION ALL
    SELECT t.name, e.item -> 'events' FROM jsonb_array_elements(notify) AS e (item)
     CROSS JOIN LATERAL jsonb_array_elements_text(e.item -> 'to') AS t (name) WHERE jsonb_typeof(e.item) = 'object'
$$;

-- A schedule that gave up, ended, or cannot be computed any more, whoever found that out.
CREATE FUNCTION schedule_happened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    INSERT INTO happening (id, tenant, event, subject_kind, subject, detail)
    VALUES (gen_random_uuid(), NEW.tenant,
            CASE NEW.state WHEN 'failed' THEN 'auto_disabled' WHEN 'expired' THEN 'expired' ELSE 'error' END,
            'schedule', NEW.name, jsonb_build_object('state', NEW.state, 'reason', NEW.state_reason));
    RETURN NULL;
END $$;
CREATE TRIGGER schedule_happened AFTER UPDATE OF state ON schedule FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state IN ('failed', 'expired', 'error'))
    EXECUTE FUNCTION schedule_happened();

-- An endpoint's alarm that goes on, or off while the endpoint is still there.
CREATE FUNCTION endpoint_alarm_happened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    alarm endpoint_alarm := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF TG_OP = 'INSERT' OR EXISTS (SELECT 1 FROM endpoint e WHERE e.tenant = alarm.tenant AND e.name = alarm.endpoint AND e.enabled) THEN
        INSERT INTO happening (id, tenant, event, subject_kind, subject, detail)
        SELECT gen_random_uuid(), alarm.tenant, alarm.kind || CASE WHEN TG_OP = 'DELETE' THEN '_over' ELSE '' END,
               'endpoint', alarm.endpoint, alarm.detail || jsonb_build_object('since', alarm.since)
          FROM tenant t WHERE t.name = alarm.tenant;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER endpoint_alarm_happened AFTER INSERT OR DELETE ON endpoint_alarm FOR EACH ROW
    EXECUTE FUNCTION endpoint_alarm_happened();

-- A message that was given up: told once in a quarter of an hour, since they come in swarms.
CREATE FUNCTION dead_letter_happened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    INSERT INTO happening (id, tenant, event, subject_kind, subject, detail)
    SELECT md5('dead_letter ' || t.name || floor(extract(epoch FROM clock_timestamp()) / 900))::uuid, t.name,
           'dead_letter', 'tenant', t.name,
           jsonb_build_object('id', NEW.id, 'queue', NEW.queue, 'type', NEW.type, 'reason', left(NEW.reason, 1000))
      FROM tenant t WHERE t.name = NEW.tenant
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER dead_letter_happened AFTER INSERT ON dead_letter FOR EACH ROW WHEN (NEW.tenant IS NOT NULL)
    EXECUTE FUNCTION dead_letter_happened();

-- Partitions of every table that has them, so that a new one needs to be named nowhere.
CREATE OR REPLACE FUNCTION make_partitions(days_back integer, days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    parent text;
    day date;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headwater.partitions'));
    FOR parent IN
        SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
         WHERE c.relnamespace = 'headwater'::regnamespace AND p.partstrat = 'r' ORDER BY c.relname
    LOOP
        IF to_regclass('headwater.' || quote_ident(parent || '_default')) IS NULL THEN
            EXECUTE format('CREATE TABLE headwater.%I PARTITION OF headwater.%I DEFAULT', parent || '_default', parent);
        END IF;
        FOR day IN SELECT generate_series(
            (now() AT TIME ZONE 'UTC')::date - days_back, (now() AT TIME ZONE 'UTC')::date + days_ahead, interval '1 day'
        )::date LOOP
            IF to_regclass('headwater.' || quote_ident(parent || to_char(day, '_YYYYMMDD'))) IS NULL THEN
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

-- Rows that no daily partition took although there should have been one, by table: an alarm. What is older than every
-- daily partition belongs there: runs of long past boundaries, made by a backfill.
CREATE OR REPLACE FUNCTION rows_in_default_partitions() RETURNS TABLE (name text, row_count bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    at_column text;
    first_day date;
BEGIN
    FOR name, at_column IN
        SELECT c.relname, a.attname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
         WHERE c.relnamespace = 'headwater'::regnamespace AND p.partstrat = 'r' ORDER BY c.relname
    LOOP
        IF to_regclass('headwater.' || quote_ident(name || '_default')) IS NOT NULL THEN
            SELECT min(to_date(right(k.relname, 8), 'YYYYMMDD')) INTO first_day
              FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
             WHERE i.inhparent = ('headwater.' || quote_ident(name))::regclass AND k.relname ~ '_[0-9]{8}$';
            EXECUTE format('SELECT count(*) FROM (SELECT 1 FROM headwater.%I WHERE %I >= $1 LIMIT 1000) AS few',
                           name || '_default', at_column)
               INTO row_count USING coalesce(first_day, '-infinity'::date)::timestamp AT TIME ZONE 'UTC';
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

SELECT make_partitions(1, 7);

-- The daily partitions of a table before a day, oldest first, with about how many rows each has.
CREATE FUNCTION old_partitions(parent text, before_day date) RETURNS TABLE (name text, day date, row_estimate bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
    SELECT c.relname::text, to_date(right(c.relname, 8), 'YYYYMMDD'), greatest(c.reltuples, 0)::bigint
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = to_regclass('headwater.' || quote_ident(parent)) AND c.relname ~ '_[0-9]{8}$'
       AND to_date(right(c.relname, 8), 'YYYYMMDD') < before_day
     ORDER BY 2
$$;

-- Drop one day's partition of a table; false when there is none. Waits a second at most for those who read it.
CREATE FUNCTION drop_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    child text := parent || to_char(day, '_YYYYMMDD');
BEGIN
    IF NOT EXISTS (SELECT 1 FROM old_partitions(parent, drop_partition.day + 1) o WHERE o.name = child) THEN
        RETURN false;
    END IF;
    SET LOCAL lock_timeout = '1s';
    EXECUTE format('DROP TABLE headwater.%I', child);
    RETURN true;
END $$;

-- Remove final runs of a tenant that ended before a moment, with their pages; at most `most` a call. How many went.
CREATE FUNCTION forget_runs(of_tenant text, ended_before timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    ats timestamptz[];
    ids uuid[];
BEGIN
    SELECT array_agg(due_at), array_agg(id) INTO ats, ids FROM (
        SELECT due_at, id FROM run
         WHERE tenant = of_tenant AND due_at < ended_before AND finished_at < ended_before
           AND state NOT IN ('queued', 'running')
         ORDER BY due_at LIMIT most) AS old;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM rejected_record r USING unnest(ats, ids) AS o (due_at, id) WHERE r.run_at = o.due_at AND r.run_id = o.id;
    DELETE FROM page p USING unnest(ats, ids) AS o (due_at, id) WHERE p.run_at = o.due_at AND p.run_id = o.id;
    DELETE FROM walk w USING unnest(ats, ids) AS o (due_at, id) WHERE w.run_at = o.due_at AND w.run_id = o.id;
    DELETE FROM run r USING unnest(ats, ids) AS o (due_at, id) WHERE r.due_at = o.due_at AND r.id = o.id;
    RETURN cardinality(ids);
END $$;

-- Remove settled notifications of a tenant from before a moment; at most `most` a call. How many went.
CREATE FUNCTION forget_notifications(of_tenant text, made_before timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    WITH old AS (
        SELECT created_at, id FROM notification
         WHERE tenant = of_tenant AND created_at < made_before AND state <> 'waiting' ORDER BY created_at LIMIT most
    ), tried AS (
        DELETE FROM notification_attempt a USING old WHERE a.created_at = old.created_at AND a.notification_id = old.id
    )
    DELETE FROM notification n USING old WHERE n.created_at = old.created_at AND n.id = old.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'notification_rule', 'notification_stop', 'happening', 'notification', 'notification_attempt'
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

GRANT EXECUTE ON FUNCTION notified_by(jsonb) TO headwater_api, headwater_worker;
REVOKE ALL ON FUNCTION schedule_happened(), endpoint_alarm_happened(), dead_letter_happened(), old_partitions(text, date),
    drop_partition(text, date), forget_runs(text, timestamptz, integer), forget_notifications(text, timestamptz, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION old_partitions(text, date), drop_partition(text, date),
    forget_runs(text, timestamptz, integer), forget_notifications(text, timestamptz, integer) TO headwater_worker;
GRANT SELECT ON notification_rule TO headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_stop, happening TO headwater_worker;
GRANT SELECT, INSERT, UPDATE ON notification, notification_attempt TO headwater_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_rule, notification_stop TO headwater_api;
GRANT SELECT, UPDATE ON notification TO headwater_api;
GRANT SELECT ON notification_attempt, happening TO headwater_api;
