-- name: limits
-- How many days each tenant keeps its runs, notifications and dead letters that are done with, and its audit: its own, else
-- $1 to $4.
SELECT name AS tenant, coalesce((settings #>> '{retention,runs_days}')::int, $1) AS runs_days,
       coalesce((settings #>> '{retention,notifications_days}')::int, $2) AS notifications_days,
       coalesce((settings #>> '{retention,dead_letters_days}')::int, $3) AS dead_letters_days,
       coalesce((settings #>> '{retention,audit_days}')::int, $4) AS audit_days
  FROM tenant ORDER BY name

-- name: set_own
UPDATE tenant SET settings = settings || jsonb_build_object('retention', $2::jsonb) WHERE name = $1 RETURNING name

-- name: old_days
-- Daily partitions of a table from before the last $2 days, oldest first.
SELECT day FROM old_partitions($1, (now() AT TIME ZONE 'UTC')::date - $2::int) ORDER BY day

-- name: drop
SELECT drop_partition($1, $2)

-- name: rows_of_day
-- The rows of one table ($1) of one day ($2 to $3).
SELECT sum(n)::bigint FROM (
    SELECT count(*) AS n FROM run WHERE $1::text = 'run' AND due_at >= $2 AND due_at < $3
    UNION ALL SELECT count(*) FROM walk WHERE $1::text = 'walk' AND run_at >= $2 AND run_at < $3
    UNION ALL SELECT count(*) FROM page WHERE $1::text = 'page' AND run_at >= $2 AND run_at < $3
    UNION ALL SELECT count(*) FROM rejected_record WHERE $1::text = 'rejected_record' AND run_at >= $2 AND run_at < $3
    UNION ALL SELECT count(*) FROM delivery WHERE $1::text = 'delivery' AND received_at >= $2 AND received_at < $3
    UNION ALL SELECT count(*) FROM delivery_duplicate WHERE $1::text = 'delivery_duplicate' AND received_at >= $2 AND received_at < $3
    UNION ALL SELECT count(*) FROM notification WHERE $1::text = 'notification' AND created_at >= $2 AND created_at < $3
    UNION ALL SELECT count(*) FROM notification_attempt WHERE $1::text = 'notification_attempt' AND created_at >= $2 AND created_at < $3
) AS counted

-- name: is_open
-- Whether something of that day ($1 to $2) is not done with: a run that is not final, a notification that waits, a
-- delivery that is not settled.
SELECT EXISTS (SELECT 1 FROM run WHERE due_at >= $1 AND due_at < $2 AND state IN ('queued', 'running')) AS run,
       EXISTS (SELECT 1 FROM notification WHERE created_at >= $1 AND created_at < $2 AND state = 'waiting') AS notification,
       EXISTS (SELECT 1 FROM delivery WHERE received_at >= $1 AND received_at < $2 AND state = 'accepted') AS delivery

-- name: count_runs
-- Final runs of a tenant that ended more than $2 days ago and whose day stays, since others keep it ($3 days).
SELECT count(*) FROM run
 WHERE tenant = $1 AND state NOT IN ('queued', 'running') AND finished_at < (SELECT clock_timestamp()) - make_interval(days => $2)
   AND due_at < (SELECT clock_timestamp()) - make_interval(days => $2)
   AND due_at >= ((now() AT TIME ZONE 'UTC')::date - $3::int)::timestamp AT TIME ZONE 'UTC'

-- name: forget_runs
SELECT forget_runs($1, clock_timestamp() - make_interval(days => $2), $3)

-- name: count_notifications
-- Settled notifications of a tenant from before the last $2 days, whose day stays ($3 days).
SELECT count(*) FROM notification
 WHERE tenant = $1 AND state <> 'waiting' AND created_at < (SELECT clock_timestamp()) - make_interval(days => $2)
   AND created_at >= ((now() AT TIME ZONE 'UTC')::date - $3::int)::timestamp AT TIME ZONE 'UTC'

-- name: forget_notifications
SELECT forget_notifications($1, clock_timestamp() - make_interval(days => $2), $3)

-- name: count_dead_letters
-- Dead letters of a tenant that somebody replayed or discarded, from before the last $2 days.
SELECT count(*) FROM dead_letter
 WHERE tenant = $1 AND state <> 'open' AND dead_at < (SELECT clock_timestamp()) - make_interval(days => $2)

-- name: forget_dead_letters
WITH gone AS (
    DELETE FROM dead_letter WHERE id IN (
        SELECT id FROM dead_letter
         WHERE tenant = $1 AND state <> 'open' AND dead_at < (SELECT clock_timestamp()) - make_interval(days => $2) LIMIT $3
    ) RETURNING id
)
SELECT count(*) FROM gone

-- name: count_audit
-- Changes from before the last $2 days; what belongs to no tenant goes with the first one's.
SELECT count(*) FROM audit
 WHERE (tenant = $1 OR (tenant IS NULL AND $1 = (SELECT min(name) FROM tenant)))
   AND at < (SELECT clock_timestamp()) - make_interval(days => $2)

-- name: forget_audit
WITH gone AS (
    DELETE FROM audit WHERE id IN (
        SELECT id FROM audit
         WHERE (tenant = $1 OR (tenant IS NULL AND $1 = (SELECT min(name) FROM tenant)))
           AND at < (SELECT clock_timestamp()) - make_interval(days => $2) LIMIT $3
    ) RETURNING id
)
SELECT count(*) FROM gone

-- name: count_deliveries
-- Settled deliveries of endpoints that keep them for fewer days than their days stay ($2); $1 where they say nothing.
SELECT d.tenant, d.endpoint, e.days, count(*) AS delivery_count
  FROM delivery d JOIN (
       SELECT tenant, name, coalesce((definition #>> '{retention,days}')::int, $1) AS days FROM endpoint
       ) AS e ON e.tenant = d.tenant AND e.name = d.endpoint
 WHERE d.state <> 'accepted' AND e.days < $2 AND d.received_at < clock_timestamp() - make_interval(days => e.days)
   AND d.received_at >= ((now() AT TIME ZONE 'UTC')::date - $2::int)::timestamp AT TIME ZONE 'UTC'
 GROUP BY d.tenant, d.endpoint, e.days ORDER BY d.tenant, d.endpoint
