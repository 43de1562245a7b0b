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
UPDATE schedule SET last_due_at = coalesce($3, last_due_at), next_at = $4, state = $5, state_reason = $6 WHERE tenant = $1 AND name = $2

-- name: next_due_s
-- Seconds until the next schedule is due, by the database's clock; null when none is.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 FROM schedule
 WHERE state = 'active' AND next_at IS NOT NULL

-- name: now
SELECT clock_timestamp()
