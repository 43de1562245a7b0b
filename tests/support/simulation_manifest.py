"""What is configured in every simulation: five streams of five kinds, two schedules, two endpoints."""

SHOP = """
version: 1
tenant: default
sources:
  - name: shop
    base_url: http://api.test
    streams:
      - name: orders
        request: {path: /orders}
        pagination: {type: offset, size: 4}
        records: {path: items}
        destination: {table: orders, mode: append}
      - name: events
        request: {path: /events}
        pagination: {type: cursor, cursor_param: cursor, cursor_path: cursor}
        records: {path: items}
        incremental: {field: updated, param: since}
        destination: {table: events, mode: append}
      - name: visits
        request: {path: /visits}
        pagination: {type: next_url, next_path: next}
        records: {path: items}
        limits: {max_pages: 4}
        destination: {table: visits, mode: append}
schedules:
  - {name: shop-often, streams: [shop.orders, shop.events], once: "2099-01-01T00:00:00Z"}
endpoints:
  - {name: sales, scheme: github, secrets: [hush], destination: {table: sales, mode: append}}
  - {name: stock, scheme: github, secrets: [hush], destination: {table: stock, mode: merge, key: sku}}
"""

CRM = """
version: 1
tenant: acme
sources:
  - name: crm
    base_url: http://api.test
    rate_limit: {requests: 40, per_s: 1, burst: 4}
    streams:
      - name: people
        request: {path: /people}
        pagination: {type: link}
        records: {path: items}
        incremental: {field: updated, param: since}
        destination: {table: people, mode: merge, key: id}
      - name: notes
        request: {path: /notes}
        pagination: {type: page, size: 3, size_param: size, total_pages: pages}
        records: {path: items}
        destination: {table: notes, mode: merge, key: id}
schedules:
  - {name: crm-often, streams: [crm.people, crm.notes], once: "2099-01-01T00:00:00Z"}
"""

# Virtual time in the database: the same name in a schema that is looked at first. The clock is a sequence, since
# its value is seen by everybody at once. The log tables are the simulation's own memory of what rows went through.
SQL = """
CREATE SEQUENCE headwater.sim_clock AS bigint;
CREATE FUNCTION headwater.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT to_timestamp(last_value / 1000000.0) FROM headwater.sim_clock $$;

DO $$
DECLARE one record;
BEGIN
    FOR one IN SELECT c.oid::regclass AS name, a.attname FROM pg_attrdef d
                 JOIN pg_class c ON c.oid = d.adrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
                WHERE c.relnamespace = 'headwater'::regnamespace
                  AND pg_get_expr(d.adbin, d.adrelid) LIKE '%clock_timestamp()%'
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT headwater.clock_timestamp()', one.name, one.attname);
    END LOOP;
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'headwater'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_[0-9]{8}$'
    LOOP
        EXECUTE format('DROP TABLE %s', one.name);
    END LOOP;
    FOR one IN SELECT p.name, d.day::date AS day
                 FROM unnest(ARRAY['run', 'walk', 'page', 'rejected_record', 'delivery', 'delivery_duplicate']) AS p (name),
                      generate_series('2025-12-31'::date, '2026-01-01'::date, interval '1 day') AS d (day)
    LOOP
        EXECUTE format('CREATE TABLE headwater.%I PARTITION OF headwater.%I FOR VALUES FROM (%L) TO (%L)',
                       one.name || to_char(one.day, '_YYYYMMDD'), one.name, one.day::timestamptz,
                       (one.day + 1)::timestamptz);
        IF one.name = 'delivery' THEN
            EXECUTE format('GRANT INSERT ON headwater.%I TO headwater_worker', one.name || to_char(one.day, '_YYYYMMDD'));
        END IF;
    END LOOP;
    FOR one IN SELECT c.oid::regclass AS name FROM pg_class c
                WHERE c.relnamespace = 'headwater'::regnamespace AND c.relkind = 'r'
    LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', one.name);
    END LOOP;
END $$;

CREATE TABLE headwater.sim_run_log (
    seq bigserial, run_id uuid, old_state text, new_state text, attempt integer, running_beside integer
);
CREATE TABLE headwater.sim_cursor_log (seq bigserial, stream text, old jsonb, new jsonb, run_id uuid);
CREATE FUNCTION headwater.sim_note_run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO headwater.sim_run_log (run_id, old_state, new_state, attempt, running_beside)
    VALUES (new.id, CASE TG_OP WHEN 'UPDATE' THEN old.state END, new.state, new.attempt, CASE new.state WHEN 'running' THEN
        (SELECT count(*) FROM headwater.run r WHERE r.state = 'running' AND r.id <> new.id
            AND (r.tenant, r.source, r.stream) = (new.tenant, new.source, new.stream)) END);
    RETURN NULL;
END $$;
CREATE TRIGGER sim_note_new AFTER INSERT ON headwater.run FOR EACH ROW EXECUTE FUNCTION headwater.sim_note_run();
CREATE TRIGGER sim_note AFTER UPDATE ON headwater.run FOR EACH ROW
    WHEN (old.state IS DISTINCT FROM new.state OR old.attempt <> new.attempt)
    EXECUTE FUNCTION headwater.sim_note_run();
CREATE FUNCTION headwater.sim_note_cursor() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO headwater.sim_cursor_log (stream, old, new, run_id) VALUES (
        CASE TG_OP WHEN 'DELETE' THEN old.stream ELSE new.stream END, CASE TG_OP WHEN 'INSERT' THEN NULL ELSE old.value END,
        CASE TG_OP WHEN 'DELETE' THEN NULL ELSE new.value END, CASE TG_OP WHEN 'DELETE' THEN NULL ELSE new.run_id END);
    RETURN NULL;
END $$;
CREATE TRIGGER sim_note AFTER INSERT OR UPDATE OR DELETE ON headwater.stream_cursor
    FOR EACH ROW EXECUTE FUNCTION headwater.sim_note_cursor();
GRANT SELECT, UPDATE ON headwater.sim_clock TO PUBLIC;
GRANT SELECT ON headwater.sim_run_log, headwater.sim_cursor_log TO PUBLIC;
"""

# Everything that a seed leaves. The configuration stays: it is the same for all.
EMPTY = """
DELETE FROM headwater.run; DELETE FROM headwater.walk; DELETE FROM headwater.page;
DELETE FROM headwater.rejected_record; DELETE FROM headwater.stream_slot; DELETE FROM headwater.append_residue;
DELETE FROM headwater.append_since;
DELETE FROM headwater.stream_cursor; DELETE FROM headwater.rate_limit; DELETE FROM headwater.delivery;
DELETE FROM headwater.delivery_duplicate; DELETE FROM headwater.dedupe_claim; DELETE FROM headwater.outbox;
DELETE FROM headwater.payload; DELETE FROM headwater.dead_letter; DELETE FROM headwater.sim_run_log;
DELETE FROM headwater.sim_cursor_log;
UPDATE headwater.schedule SET state = 'active', next_at = NULL, last_due_at = NULL
"""
TABLES = {
    "orders": "hw_default",
    "events": "hw_default",
    "visits": "hw_default",
    "sales": "hw_default",
    "stock": "hw_default",
    "people": "hw_acme",
    "notes": "hw_acme",
}
