-- name: lock
-- A schedule, locked until the transaction ends, with the database's clock.
SELECT name, definition, state, state_reason, next_at, paused_until, calendars,
       clock_timestamp() AS now
  FROM schedule WHERE tenant = $1 AND name = $2 FOR NO KEY UPDATE

-- name: read
-- As lock, without the lock.
SELECT name, definition, state, state_reason, next_at, paused_until, calendars,
       clock_timestamp() AS now
  FROM schedule WHERE tenant = $1 AND name = $2

-- name: set_state
-- $3 state, $4 why, $5 when it is due next, $6 whether it is enabled, $7 who paused it, $8 until when.
UPDATE schedule
   SET state = $3, state_reason = $4, next_at = $5, paused_by = $7, paused_until = $8,
       paused_at = CASE WHEN $3 = 'paused' THEN clock_timestamp() END,
       definition = CASE WHEN definition -> 'enabled' = to_jsonb($6::boolean) THEN definition
                         ELSE jsonb_set(definition, '{enabled}', to_jsonb($6::boolean)) END,
       updated_at = clock_timestamp()
 WHERE tenant = $1 AND name = $2

-- name: resumable
-- Paused schedules whose time is up, locked; other timers skip them. At most $1.
SELECT tenant, name, definition, paused_until, calendars FROM schedule
 WHERE state = 'paused' AND paused_until IS NOT NULL AND paused_until <= (SELECT clock_timestamp())
 ORDER BY paused_until, tenant, name LIMIT $1 FOR UPDATE SKIP LOCKED
