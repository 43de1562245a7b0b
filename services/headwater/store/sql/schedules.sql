-- name: put
-- A schedule; its next due time is computed anew only when its definition changed.
INSERT INTO schedule AS s (tenant, name, definition, state, next_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, name) DO UPDATE
   SET definition = excluded.definition,
       state = CASE WHEN excluded.state = 'disabled' THEN 'disabled' WHEN s.state IN ('disabled', 'error') THEN 'active'
                    ELSE s.state END,
       next_at = excluded.next_at, updated_at = clock_timestamp()
 WHERE s.definition IS DISTINCT FROM excluded.definition

-- name: list
SELECT name, definition, state, state_reason, next_at, last_due_at, created_at, updated_at FROM schedule
 WHERE tenant = $1 ORDER BY name

-- name: delete_except
DELETE FROM schedule WHERE tenant = $1 AND NOT (name = ANY($2::text[])) RETURNING name

-- name: claim_due
-- Schedules due now by the database's clock, locked for this transaction; other timers skip them. At most $1.
SELECT tenant, name, definition, next_at, clock_timestamp() AS now FROM schedule
 WHERE state = 'active' AND next_at <= clock_timestamp()
 ORDER BY next_at, tenant, name LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: advance
-- How schedules go on, column by column.
UPDATE schedule s SET last_due_at = coalesce(d.last_due_at, s.last_due_at), next_at = d.next_at, state = d.state,
                      state_reason = d.reason
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[])
       AS d (tenant, name, last_due_at, next_at, state, reason)
 WHERE s.tenant = d.tenant AND s.name = d.name

-- name: next_due_s
-- Seconds until the next schedule is due, by the database's clock; null when none is.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 FROM schedule
 WHERE state = 'active' AND next_at IS NOT NULL

-- name: now
SELECT clock_timestamp()

-- name: delete
DELETE FROM schedule WHERE tenant = $1 AND name = $2

-- name: with_streams
-- Schedules of one of these streams (source.stream).
SELECT name, definition FROM schedule WHERE tenant = $1 AND definition -> 'streams' ?| $2::text[] ORDER BY name

-- name: after
-- Schedules that start after the one of this name.
SELECT name, definition FROM schedule
 WHERE tenant = $1 AND name <> $2
   AND (definition -> 'after' -> 'schedules' ? $2 OR definition -> 'after' -> 'any_of' ? $2 OR definition -> 'after' -> 'all_of' ? $2)
 ORDER BY name
