-- name: failed_streams
-- Streams whose last run that ended failed, with how it did.
SELECT s.source || '.' || s.name AS stream, r.id, r.schedule, r.finished_at, r.error_kind, r.error_message
  FROM stream s CROSS JOIN LATERAL (
       SELECT id, schedule, state, finished_at, error_kind, error_message FROM run
        WHERE run.tenant = s.tenant AND run.source = s.source AND run.stream = s.name
          AND run.state IN ('succeeded', 'partial', 'failed')
        ORDER BY due_at DESC LIMIT 1) AS r
 WHERE s.tenant = $1 AND r.state = 'failed' ORDER BY r.finished_at DESC LIMIT 500

-- name: stuck_runs
-- Runs at work without progress for $2 seconds that do not wait for their API, and runs that wait to begin for $3.
SELECT id, source || '.' || stream AS stream, schedule, state, progress_at, due_at, waits_for,
       extract(epoch FROM clock_timestamp() - coalesce(progress_at, greatest(due_at, created_at)))::float8 AS quiet_s
  FROM (SELECT * FROM run WHERE tenant = $1 AND admitted_at IS NOT NULL AND state IN ('queued', 'running')
         UNION ALL
        SELECT * FROM run WHERE tenant = $1 AND admitted_at IS NULL AND state = 'queued') AS r
 WHERE priority < 2 AND (parked_until IS NULL OR parked_until < clock_timestamp())
   AND ((state = 'running' AND progress_at < clock_timestamp() - make_interval(secs => $2))
     OR (state = 'queued' AND greatest(due_at, created_at) < clock_timestamp() - make_interval(secs => $3)))
 ORDER BY due_at LIMIT 500

-- name: stale_schedules
-- Schedules of these tenants in force whose last success is older than three times the longest time between two of their
-- last 20 (an hour at least). Only those that missed three due times are looked at more closely.
SELECT s.tenant, s.name, s.next_at, e.last_success_at, habit.gap_s
  FROM schedule s JOIN schedule_record e ON e.tenant = s.tenant AND e.schedule = s.name
 CROSS JOIN LATERAL (
       SELECT max(gap_s) AS gap_s, count(*) AS gap_count FROM (
           SELECT extract(epoch FROM finished_at - lag(finished_at) OVER (ORDER BY finished_at))::float8 AS gap_s FROM (
               SELECT finished_at FROM run r WHERE r.tenant = s.tenant AND r.schedule = s.name AND r.state = 'succeeded'
                ORDER BY due_at DESC LIMIT 20) AS good) AS gaps WHERE gap_s IS NOT NULL) AS habit
 WHERE s.tenant = ANY($1::text[]) AND s.state = 'active' AND s.next_at IS NOT NULL
   AND e.last_success_at < clock_timestamp() - interval '1 hour' AND habit.gap_count >= 3
   AND e.last_success_at < clock_timestamp() - 3 * coalesce(s.next_at - s.last_due_at, interval '0')
   AND e.last_success_at < clock_timestamp() - make_interval(secs => greatest(3600, 3 * habit.gap_s))
 ORDER BY e.last_success_at LIMIT 500

-- name: unwell_schedules
-- Schedules that do not run: stopped after failures, not to be computed, or held by somebody.
SELECT name, state, state_reason, updated_at FROM schedule
 WHERE tenant = $1 AND state IN ('failed', 'error', 'paused', 'disabled') ORDER BY state, name LIMIT 500

-- name: alarms
SELECT endpoint, kind, since, detail FROM endpoint_alarm WHERE tenant = $1 ORDER BY endpoint, kind

-- name: dead
-- Open dead letters: how many, since when.
SELECT count(*) AS letter_count, min(dead_at) AS since FROM dead_letter WHERE tenant = $1 AND state = 'open'

-- name: notifications
-- What waits, what waits although it is due, and what was given up in the last day.
SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
       count(*) FILTER (WHERE state = 'waiting' AND next_at < clock_timestamp() - interval '5 minutes') AS overdue,
       count(*) FILTER (WHERE state = 'dead' AND settled_at > clock_timestamp() - interval '1 day') AS dead,
       count(*) FILTER (WHERE state = 'sent' AND settled_at > clock_timestamp() - interval '1 day') AS sent
  FROM notification WHERE tenant = $1 AND created_at > clock_timestamp() - interval '9 days'

-- name: dead_deliveries
-- Endpoints of whose deliveries of the last day some are dead: how many, since when, and why the newest is.
SELECT endpoint, count(*) AS delivery_count, min(received_at) AS since,
       (array_agg(reason ORDER BY received_at DESC))[1] AS reason
  FROM delivery WHERE tenant = $1 AND state = 'dead' AND received_at > now() - interval '1 day'
 GROUP BY endpoint ORDER BY endpoint LIMIT 500

-- name: stops
SELECT target, reason, stopped_at FROM notification_stop WHERE tenant = $1 ORDER BY target LIMIT 100

-- name: owed
-- Messages that the relay owes although they are due: how many, and for how long the oldest waits.
SELECT count(*) AS message_count, coalesce(extract(epoch FROM clock_timestamp() - min(not_before)), 0)::float8 AS oldest_s
  FROM outbox WHERE not_before < clock_timestamp()

-- name: run_counts
-- The tenant's runs of the last day by state, and those under way.
SELECT state, count(*) AS run_count FROM (
    SELECT state FROM run WHERE tenant = $1 AND due_at > now() - interval '1 day' AND state NOT IN ('queued', 'running')
     UNION ALL
    SELECT state FROM run WHERE tenant = $1 AND admitted_at IS NOT NULL AND state IN ('queued', 'running')
     UNION ALL
    SELECT state FROM run WHERE tenant = $1 AND admitted_at IS NULL AND state = 'queued') AS r GROUP BY state

-- name: schedule_counts
SELECT state, count(*) AS schedule_count FROM schedule WHERE tenant = $1 GROUP BY state

-- name: delivery_counts
SELECT state, count(*) AS delivery_count FROM delivery
 WHERE tenant = $1 AND received_at > now() - interval '1 day' GROUP BY state
