-- name: waiting
-- Schedules at work that start after one of $2 (of tenant $1), locked until the transaction ends.
SELECT tenant, name, definition FROM schedule
 WHERE tenant = $1 AND state = 'active' AND definition ->> 'after' IS NOT NULL
   AND ((definition #> '{after,schedules}') ?| $2::text[] OR (definition #> '{after,any_of}') ?| $2::text[]
        OR (definition #> '{after,all_of}') ?| $2::text[])
 ORDER BY name FOR NO KEY UPDATE

-- name: hear
-- The latest result of an upstream for a schedule that waits.
INSERT INTO chain_result (tenant, schedule, upstream, heard_at, run_ids, result) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, schedule, upstream) DO UPDATE
   SET heard_at = excluded.heard_at, run_ids = excluded.run_ids, result = excluded.result

-- name: heard
SELECT upstream, heard_at, run_ids, result FROM chain_result WHERE tenant = $1 AND schedule = $2 ORDER BY upstream

-- name: forget
DELETE FROM chain_result WHERE tenant = $1 AND schedule = $2

-- name: put_off
-- The start waits until it has been quiet for $3 seconds.
INSERT INTO chain_start (tenant, schedule, start_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (tenant, schedule) DO UPDATE SET start_at = excluded.start_at

-- name: quiet
-- Schedules whose start was put off and is due. At most $1; other relays skip them.
SELECT tenant, schedule FROM chain_start WHERE start_at <= (SELECT clock_timestamp())
 ORDER BY start_at, tenant, schedule LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: lock
-- The schedule, locked until the transaction ends.
SELECT definition, state FROM schedule WHERE tenant = $1 AND name = $2 FOR NO KEY UPDATE

-- name: begun
DELETE FROM chain_start WHERE tenant = $1 AND schedule = $2

-- name: stop
-- The schedule starts after nothing any more: $3 state, $4 why.
UPDATE schedule SET state = $3, state_reason = $4, next_at = NULL, updated_at = clock_timestamp()
 WHERE tenant = $1 AND name = $2 AND state = 'active'

-- name: count
-- It was started once more; with the last of the runs that are wanted ($3, null: all) it is over.
UPDATE schedule SET fired_count = fired_count + 1,
                    state = CASE WHEN fired_count + 1 >= $3::bigint THEN 'expired' ELSE state END,
                    state_reason = CASE WHEN fired_count + 1 >= $3::bigint THEN 'max_runs' ELSE state_reason END,
                    next_at = CASE WHEN fired_count + 1 >= $3::bigint THEN NULL ELSE next_at END
 WHERE tenant = $1 AND name = $2 AND state = 'active'
