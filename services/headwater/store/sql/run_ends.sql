-- name: lock
-- Only one relay counts at a time; false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.run_ends'))

-- name: take
-- Ends that are not counted yet, the oldest first, with what became of the runs; they are gone with the transaction.
WITH taken AS (
    DELETE FROM run_end WHERE number IN (SELECT number FROM run_end ORDER BY number LIMIT $1) RETURNING *
)
SELECT t.tenant, t.schedule, t.run_id, t.run_at, t.generation, r.state, r.finished_at, r.backfill_id
  FROM taken t JOIN run r ON r.due_at = t.run_at AND r.id = t.run_id
 ORDER BY t.number

-- name: count
-- Add to the records of schedules that are still there: $3 state, $4 when.
WITH told AS (
    SELECT tenant, schedule, count(*) AS total,
           count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'partial') AS partial,
           count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE state = 'skipped') AS skipped,
           max(finished_at) FILTER (WHERE state = 'succeeded') AS success_at,
           max(finished_at) FILTER (WHERE state = 'failed') AS failure_at
      FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS e (tenant, schedule, state, finished_at)
     GROUP BY 1, 2
), counted AS (
    UPDATE schedule_record r
       SET total = r.total + t.total, succeeded = r.succeeded + t.succeeded, partial = r.partial + t.partial,
           failed = r.failed + t.failed, cancelled = r.cancelled + t.cancelled, skipped = r.skipped + t.skipped,
           last_success_at = greatest(r.last_success_at, t.success_at),
           last_failure_at = greatest(r.last_failure_at, t.failure_at)
      FROM told t WHERE (r.tenant, r.schedule) = (t.tenant, t.schedule)
    RETURNING r.tenant, r.schedule
)
INSERT INTO schedule_record (tenant, schedule, total, succeeded, partial, failed, cancelled, skipped, last_success_at,
                             last_failure_at)
SELECT t.tenant, t.schedule, t.total, t.succeeded, t.partial, t.failed, t.cancelled, t.skipped, t.success_at, t.failure_at
  FROM told t JOIN schedule s ON (s.tenant, s.name) = (t.tenant, t.schedule)
 WHERE NOT EXISTS (SELECT 1 FROM counted c WHERE (c.tenant, c.schedule) = (t.tenant, t.schedule))
   FOR KEY SHARE OF s

-- name: firings
-- Of these firings (all runs of a schedule for one due time and generation) those of which every run has ended and been
-- counted, in the order in which they ended.
SELECT f.tenant, f.schedule, f.run_at, f.generation, max(r.finished_at) AS ended_at,
       array_agg(r.id ORDER BY r.id) AS run_ids, array_agg(DISTINCT r.state) AS states,
       jsonb_agg(jsonb_build_object('id', r.id, 'stream', r.source || '.' || r.stream, 'state', r.state, 'received',
           r.received, 'inserted', r.inserted, 'updated', r.updated, 'finished_at', r.finished_at) ORDER BY r.id) AS runs,
       (array_agg(r.error_kind || ': ' || coalesce(r.error_message, '') ORDER BY r.finished_at DESC)
           FILTER (WHERE r.state = 'failed'))[1] AS error
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::int[]) AS f (tenant, schedule, run_at, generation)
  JOIN run r ON r.due_at = f.run_at AND (r.tenant, r.schedule) = (f.tenant, f.schedule) AND r.generation = f.generation
 WHERE r.backfill_id IS NULL
   AND NOT EXISTS (SELECT 1 FROM run_end e
                    WHERE (e.tenant, e.schedule, e.run_at, e.generation) = (f.tenant, f.schedule, f.run_at, f.generation))
 GROUP BY f.tenant, f.schedule, f.run_at, f.generation
HAVING bool_and(r.state NOT IN ('queued', 'running'))
 ORDER BY max(r.finished_at), f.tenant, f.schedule, f.run_at

-- name: fail_again
-- Failures in a row: $3 more of them, counted anew where there was a success before ($4). Gives the schedules that have
-- failed too often.
UPDATE schedule_record r
   SET consecutive_failures = CASE WHEN f.is_anew THEN 0 ELSE r.consecutive_failures END + f.more
  FROM unnest($1::text[], $2::text[], $3::int[], $4::boolean[]) AS f (tenant, schedule, more, is_anew)
  JOIN schedule s ON (s.tenant, s.name) = (f.tenant, f.schedule)
 WHERE (r.tenant, r.schedule) = (f.tenant, f.schedule)
RETURNING r.tenant, r.schedule, r.consecutive_failures,
          s.state = 'active' AND (s.definition ->> 'auto_disable_after')::int > 0 AND f.more > 0
          AND r.consecutive_failures >= (s.definition ->> 'auto_disable_after')::int AS is_too_often

-- name: auto_disable
-- The schedule stops by itself, until a person enables it.
UPDATE schedule SET state = 'failed', state_reason = $3, next_at = NULL, updated_at = clock_timestamp()
 WHERE tenant = $1 AND name = $2 AND state = 'active' RETURNING name

-- name: reset
UPDATE schedule_record SET consecutive_failures = 0 WHERE tenant = $1 AND schedule = $2
