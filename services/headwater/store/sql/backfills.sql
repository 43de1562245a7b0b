-- name: insert
INSERT INTO backfill (id, tenant, schedule, from_at, to_at, forced, parallel, per_minute, parameters, boundary_count,
                      position, created_by, present_count, wanted_count, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $4, $11, $12, $13, $14, $15)

-- name: get
-- A backfill with what became of its runs.
SELECT b.*, (SELECT jsonb_object_agg(r.state, r.run_count)
               FROM (SELECT state, count(*) AS run_count FROM run WHERE backfill_id = b.id GROUP BY state) AS r) AS runs
  FROM backfill b WHERE b.tenant = $1 AND b.id = $2

-- name: list
-- Backfills of tenant $1, newest first, after ($2, $3); of schedule $5 and in state $6 where these are given.
SELECT b.*, (SELECT jsonb_object_agg(r.state, r.run_count)
               FROM (SELECT state, count(*) AS run_count FROM run WHERE backfill_id = b.id GROUP BY state) AS r) AS runs
  FROM backfill b
 WHERE b.tenant = $1 AND ($2::timestamptz IS NULL OR (b.created_at, b.id) < ($2, $3::uuid))
   AND ($5::text IS NULL OR b.schedule = $5) AND ($6::text IS NULL OR b.state = $6)
 ORDER BY b.created_at DESC, b.id DESC LIMIT $4

-- name: present
-- Runs of a schedule for these boundaries, by boundary and stream: the highest generation, and whether one of them is
-- more than a skipped one.
SELECT p.boundary, p.source, p.stream, max(p.generation) AS generation, bool_or(p.state <> 'skipped') AS is_there
  FROM (SELECT due_at AS boundary, source, stream, generation, state FROM run
         WHERE tenant = $1 AND schedule = $2 AND due_at = ANY($3::timestamptz[]) AND boundary IS NULL
        UNION ALL
        SELECT r.boundary, r.source, r.stream, r.generation, r.state
          FROM backfill b JOIN run r ON r.backfill_id = b.id
         WHERE b.tenant = $1 AND b.schedule = $2 AND r.boundary = ANY($3::timestamptz[])) AS p
 GROUP BY p.boundary, p.source, p.stream

-- name: claim
-- Backfills that may go on, locked; other timers skip them. At most $1.
SELECT b.*, s.definition, s.state AS schedule_state, s.next_at, s.calendars,
       clock_timestamp() AS now,
       (SELECT count(DISTINCT r.boundary) FROM run r
         WHERE r.backfill_id = b.id AND r.state IN ('queued', 'running')) AS under_way
  FROM backfill b JOIN schedule s ON (s.tenant, s.name) = (b.tenant, b.schedule)
 WHERE b.state = 'running' AND b.next_start_at <= (SELECT clock_timestamp())
 ORDER BY b.next_start_at, b.id LIMIT $1 FOR NO KEY UPDATE OF b SKIP LOCKED

-- name: take_turn
-- Whether no other transaction starts runs of this schedule's backfills now; none does then until the end of this one.
SELECT pg_try_advisory_xact_lock(hashtextextended('headwater/backfill/' || $1 || '/' || $2, 0))

-- name: advance
-- $2 where it stands, $3 boundaries started, $4 boundaries that had their runs, $5 runs, $6 when it may go on (null: now).
UPDATE backfill SET position = $2, started_count = started_count + $3, passed_count = passed_count + $4,
                    run_count = run_count + $5, next_start_at = coalesce($6, clock_timestamp())
 WHERE id = $1

-- name: finish
-- The end of a backfill, once.
UPDATE backfill SET state = $2, reason = $3, finished_at = clock_timestamp() WHERE id = $1 AND state = 'running'
RETURNING id

-- name: under_way
-- The runs of a backfill that have not ended.
SELECT id FROM run WHERE backfill_id = $1 AND state IN ('queued', 'running') ORDER BY id

-- name: streams
-- Streams as they are now, by source.stream.
SELECT s.source || '.' || s.name AS stream, v.definition -> 'stream' AS definition
  FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND s.source || '.' || s.name = ANY($2::text[])
