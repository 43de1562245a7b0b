-- name: insert
-- A run, unless it is there already. One that a schedule starts while a run of the same schedule and stream is not
-- final is recorded as skipped (overlap). Gives id and state of a row that was inserted.
INSERT INTO run (id, due_at, tenant, source, stream, schedule, trigger, mode, force, parameters, time_window,
                 generation, priority, started_by, attempts_max, state, skip_reason, finished_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
       CASE WHEN overlap.is_there THEN 'skipped' ELSE 'queued' END,
       CASE WHEN overlap.is_there THEN 'overlap' END,
       CASE WHEN overlap.is_there THEN clock_timestamp() END
  FROM (SELECT $7 = 'schedule' AND EXISTS (
            SELECT 1 FROM run r
             WHERE r.tenant = $3 AND r.source = $4 AND r.stream = $5 AND r.schedule = $6
               AND r.state IN ('queued', 'running') AND r.id <> $1) AS is_there) AS overlap
ON CONFLICT DO NOTHING
RETURNING *

-- name: insert_many
-- Scheduled runs, each of another schedule or stream, unless they are there already; see `insert`. Gives those that are
-- recorded as skipped.
WITH made AS (
    INSERT INTO run (id, due_at, tenant, source, stream, schedule, trigger, mode, force, parameters,
                     generation, priority, started_by, attempts_max, state, skip_reason, finished_at)
    SELECT d.id, d.due_at, d.tenant, d.source, d.stream, d.schedule, 'schedule', d.mode, d.force, d.parameters::jsonb,
           d.generation, d.priority, d.started_by, d.attempts_max,
           CASE WHEN overlap.is_there THEN 'skipped' ELSE 'queued' END,
           CASE WHEN overlap.is_there THEN 'overlap' END,
           CASE WHEN overlap.is_there THEN clock_timestamp() END
      FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                  $8::boolean[], $9::text[], $10::int[], $11::int[], $12::text[], $13::int[])
           AS d (id, due_at, tenant, source, stream, schedule, mode, force, parameters, generation, priority, started_by,
                 attempts_max)
     CROSS JOIN LATERAL (SELECT EXISTS (
            SELECT 1 FROM run r
             WHERE r.tenant = d.tenant AND r.source = d.source AND r.stream = d.stream AND r.schedule = d.schedule
               AND r.state IN ('queued', 'running') AND r.id <> d.id) AS is_there) AS overlap
    ON CONFLICT DO NOTHING
    RETURNING *
)
SELECT * FROM made WHERE state = 'skipped'

-- name: get
-- One run of a tenant.
SELECT * FROM run WHERE due_at = $1 AND id = $2

-- name: list
-- Runs of the tenant that the transaction names, newest first; each filter is null or applies; after ($6, $7).
SELECT * FROM run
 WHERE ($1::text IS NULL OR schedule = $1)
   AND ($2::text IS NULL OR source || '.' || stream = $2)
   AND ($3::text IS NULL OR state = $3)
   AND ($4::timestamptz IS NULL OR due_at >= $4)
   AND ($6::timestamptz IS NULL OR (due_at, id) < ($6, $7::uuid))
 ORDER BY due_at DESC, id DESC LIMIT $5

-- name: count_by_state
-- How many runs are in each state that is not final, and how many ended in the last day.
SELECT state, count(*) AS run_count FROM run
 WHERE state IN ('queued', 'running') OR due_at > now() - interval '1 day' GROUP BY state

-- name: admit
-- Queued runs whose stream is free take its slot, round-robin over tenants, manual before scheduled before backfill;
-- each is pinned to its stream's current version. The caller holds the admission lock. At most $1.
WITH waiting AS (
    SELECT r.id, r.due_at, r.tenant, r.source, r.stream, s.version_id,
           row_number() OVER (PARTITION BY r.tenant ORDER BY r.priority, r.due_at, r.id) AS turn
      FROM run r JOIN stream s ON (s.tenant, s.source, s.name) = (r.tenant, r.source, r.stream)
     WHERE r.state = 'queued' AND r.admitted_at IS NULL
       AND (r.parked_until IS NULL OR r.parked_until <= clock_timestamp())
       AND NOT EXISTS (SELECT 1 FROM stream_slot t
                        WHERE (t.tenant, t.source, t.stream) = (r.tenant, r.source, r.stream))
), first_of_stream AS (
    SELECT DISTINCT ON (tenant, source, stream) * FROM waiting ORDER BY tenant, source, stream, turn
), taken AS (
    INSERT INTO stream_slot (tenant, source, stream, run_id, run_at)
    SELECT tenant, source, stream, id, due_at FROM first_of_stream ORDER BY turn, tenant LIMIT $1
    ON CONFLICT DO NOTHING RETURNING run_id, run_at
)
UPDATE run r SET admitted_at = clock_timestamp(), parked_until = NULL, waits_for = NULL,
                 stream_version = coalesce(r.stream_version, w.version_id)
  FROM taken t JOIN waiting w ON w.id = t.run_id
 WHERE r.due_at = t.run_at AND r.id = t.run_id
RETURNING r.id

-- name: lock_admission
-- Only one relay admits at a time; false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.admission'))

-- name: claim_unpublished
-- Admitted runs whose run.due is still owed, locked; other relays skip them. At most $1.
SELECT id, due_at, tenant, attempt, stream_version FROM run
 WHERE state = 'queued' AND admitted_at IS NOT NULL AND published_at IS NULL
 ORDER BY admitted_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: mark_published
UPDATE run SET published_at = clock_timestamp() WHERE due_at = ANY($1::timestamptz[]) AND id = ANY($2::uuid[])

-- name: without_stream
-- Queued runs whose stream is gone: they can never be admitted.
SELECT r.id, r.due_at FROM run r
 WHERE r.state = 'queued' AND r.admitted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM stream s WHERE (s.tenant, s.source, s.name) = (r.tenant, r.source, r.stream))
 LIMIT 100

-- name: begin
-- A queued run of this attempt starts; gives its state as it is now (also when it ran already), with the cursor.
UPDATE run r SET state = 'running', started_at = coalesce(r.started_at, clock_timestamp()),
                 progress_at = clock_timestamp(), cursor_from = c.value
  FROM (SELECT 1) AS one LEFT JOIN run q ON q.due_at = $1 AND q.id = $2
       LEFT JOIN stream_cursor c ON (c.tenant, c.source, c.stream) = (q.tenant, q.source, q.stream)
 WHERE r.due_at = $1 AND r.id = $2 AND r.attempt = $3 AND r.state = 'queued' AND r.admitted_at IS NOT NULL
RETURNING r.id

-- name: brief
-- What a worker needs of a run.
SELECT r.state, r.attempt, r.attempts_max, r.tenant, r.source, r.stream, r.stream_version, r.mode, r.cursor_from,
       r.started_at, r.parameters, r.time_window, c.resume
  FROM run r LEFT JOIN stream_cursor c ON (c.tenant, c.source, c.stream) = (r.tenant, r.source, r.stream)
 WHERE r.due_at = $1 AND r.id = $2

-- name: insert_walk
INSERT INTO walk (run_id, run_at, attempt, number, tenant, first_token, highest)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING

-- name: first_token
SELECT first_token FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = $4

-- name: lock
-- The run, locked for a change of state.
SELECT * FROM run WHERE due_at = $1 AND id = $2 FOR UPDATE

-- name: finish
-- A final state, once: only from a state that is not final.
UPDATE run SET state = $3, stop_reason = coalesce($4, stop_reason), error_kind = $5, error_message = $6,
               skip_reason = $7, warnings = ARRAY(SELECT DISTINCT w FROM unnest(warnings || $8::text[]) AS w ORDER BY w),
               deleted = deleted + $9, finished_at = clock_timestamp(), parked_until = NULL, waits_for = NULL
 WHERE due_at = $1 AND id = $2 AND state IN ('queued', 'running')
RETURNING *

-- name: requeue
-- The same run again, attempt + 1, at the earliest after $3 seconds.
UPDATE run SET state = 'queued', attempt = attempt + 1, admitted_at = NULL, published_at = NULL, progress_at = NULL, started_at = NULL,
               parked_until = clock_timestamp() + make_interval(secs => $3), waits_for = 'retry',
               error_kind = $4, error_message = $5,
               pages = 0, requests = 0, received = 0, inserted = 0, updated = 0, unchanged = 0, rejected = 0, deleted = 0, warnings = '{}'
 WHERE due_at = $1 AND id = $2 AND state = 'running'
RETURNING *

-- name: release_slot
DELETE FROM stream_slot WHERE (tenant, source, stream) = ($1, $2, $3) AND run_id = $4

-- name: release_orphaned_slots
-- Slots whose run is final or gone: a missed release mends itself.
DELETE FROM stream_slot s
 WHERE s.taken_at < clock_timestamp() - interval '30 seconds'
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.due_at = s.run_at AND r.id = s.run_id
                      AND r.state IN ('queued', 'running') AND r.admitted_at IS NOT NULL)

-- name: stalled
-- Running runs without progress for $1 seconds, oldest first; each look moves progress_at. At most 100.
UPDATE run r SET progress_at = clock_timestamp()
  FROM (SELECT due_at, id FROM run WHERE state = 'running' AND progress_at < clock_timestamp() - make_interval(secs => $1)
         ORDER BY progress_at LIMIT 100 FOR UPDATE SKIP LOCKED) AS still
 WHERE r.due_at = still.due_at AND r.id = still.id
RETURNING r.id, r.due_at, r.tenant, r.attempt, r.stream_version, r.started_at

-- name: missing_pages
-- The first pages of an attempt that have not settled, at most $4, with the token of each where it is known: from the
-- page before, or from the plan that the first page made.
SELECT w.number AS walk, g.number, coalesce(before.next_token, CASE WHEN g.number = 1 THEN w.first_token ELSE plan.next_token END) AS token
  FROM walk w
  LEFT JOIN page plan ON plan.run_at = w.run_at AND plan.run_id = w.run_id AND plan.attempt = w.attempt AND plan.walk = w.number
       AND plan.number = 1 AND plan.settled_at IS NOT NULL AND (plan.next_token ->> 'planned')::int > 0
 CROSS JOIN LATERAL (
       SELECT coalesce(max(p.number), 0) AS number FROM page p
        WHERE p.run_at = w.run_at AND p.run_id = w.run_id AND p.attempt = w.attempt AND p.walk = w.number
          AND p.settled_at IS NOT NULL) AS top
 CROSS JOIN LATERAL generate_series(
       1, coalesce(w.last_number, greatest((plan.next_token ->> 'planned')::int, top.number + 1))) AS g (number)
  LEFT JOIN page there ON there.run_at = w.run_at AND there.run_id = w.run_id AND there.attempt = w.attempt
       AND there.walk = w.number AND there.number = g.number AND there.settled_at IS NOT NULL
  LEFT JOIN page before ON before.run_at = w.run_at AND before.run_id = w.run_id AND before.attempt = w.attempt
       AND before.walk = w.number AND before.number = g.number - 1 AND before.settled_at IS NOT NULL
 WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND there.number IS NULL
 ORDER BY w.number, g.number LIMIT $4

-- name: park
-- The run waits for its API until then; shown to people, and cleared by its next page.
UPDATE run SET parked_until = clock_timestamp() + make_interval(secs => $3), waits_for = $4, progress_at = clock_timestamp() + make_interval(secs => $3)
 WHERE due_at = $1 AND id = $2 AND state = 'running'

-- name: unpark
UPDATE run SET parked_until = NULL, waits_for = NULL WHERE due_at = $1 AND id = $2 AND parked_until IS NOT NULL AND state = 'running'
