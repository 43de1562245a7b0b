-- Deliveries are written straight into the partition of their day.

-- What is inserted without a time of settling is settled now, by the database's clock.
ALTER TABLE delivery ALTER COLUMN settled_at SET DEFAULT clock_timestamp();

-- The worker copies rows into partitions of deliveries: COPY into the parent is refused, whatever its policies say, and
-- they let the worker insert any row. The default partition is left to inserts through the parent. Partitions of runs have
-- room for the rows' second form, as those that are there have.
CREATE OR REPLACE FUNCTION make_partitions(days_back integer, days_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    parent text;
    day date;
    made integer := 0;
    room text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headwater.partitions'));
    FOR parent IN
        SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
         WHERE c.relnamespace = 'headwater'::regnamespace AND p.partstrat = 'r' ORDER BY c.relname
    LOOP
        room := CASE WHEN parent = 'run' THEN ' WITH (fillfactor = 50)' ELSE '' END;
        IF to_regclass('headwater.' || quote_ident(parent || '_default')) IS NULL THEN
            EXECUTE format('CREATE TABLE headwater.%I PARTITION OF headwater.%I DEFAULT%s', parent || '_default', parent, room);
        END IF;
        FOR day IN SELECT generate_series(
            (now() AT TIME ZONE 'UTC')::date - days_back, (now() AT TIME ZONE 'UTC')::date + days_ahead, interval '1 day'
        )::date LOOP
            IF to_regclass('headwater.' || quote_ident(parent || to_char(day, '_YYYYMMDD'))) IS NULL THEN
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE headwater.%I PARTITION OF headwater.%I FOR VALUES FROM (%L) TO (%L)%s',
                        parent || to_char(day, '_YYYYMMDD'), parent,
                        day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC', room);
                    IF parent = 'delivery' THEN
                        EXECUTE format('GRANT INSERT ON headwater.%I TO headwater_worker', parent || to_char(day, '_YYYYMMDD'));
                    END IF;
                    made := made + 1;
                EXCEPTION WHEN check_violation THEN
                    NULL;  -- the default partition already holds rows of that day: they stay there, under alarm
                END;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN
        SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'headwater.delivery'::regclass AND c.relname ~ '^delivery_[0-9]{8}$'
    LOOP
        EXECUTE format('GRANT INSERT ON %s TO headwater_worker', child);
    END LOOP;
END $$;
