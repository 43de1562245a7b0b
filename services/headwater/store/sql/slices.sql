-- name: insert
-- A walk for each slice of a run: $5 how many are under way at once, the first of which go at once; $6 first tokens,
-- $7 what each is for. Slices are of level 1, so that they are counted as the walks of parents are.
INSERT INTO walk (run_at, run_id, attempt, tenant, level, number, is_waiting, children_at_once, first_token, parent)
SELECT $1, $2, $3, $4, 1, d.number - 1, d.number > $5, CASE WHEN d.number = 1 THEN $5 END, d.token::jsonb, d.bounds::jsonb
  FROM unnest($6::text[], $7::text[]) WITH ORDINALITY AS d (token, bounds, number)
 WHERE NOT EXISTS (SELECT 1 FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3)

-- name: first
-- The slices that went at once when the run began, and have no page yet.
SELECT w.number, w.first_token FROM walk w
 WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND NOT w.is_waiting AND w.last_number IS NULL
   AND NOT EXISTS (SELECT 1 FROM page p WHERE p.run_at = $1 AND p.run_id = $2 AND p.attempt = $3 AND p.walk = w.number)
 ORDER BY w.number

-- name: extent
-- What the slices of an attempt took so far, how many did not come through, and whether one met a limit.
SELECT r.pages, r.received, extract(epoch FROM clock_timestamp() - r.started_at)::float8 AS seconds, w.*
  FROM run r,
       (SELECT count(*) FILTER (WHERE is_waiting) AS waiting_count,
               count(*) FILTER (WHERE stop_reason = 'error') AS failed_count,
               coalesce(bool_or(stop_reason = 'limit'), false) AS has_met_limit
          FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3) AS w
 WHERE r.due_at = $1 AND r.id = $2

-- name: end_waiting
-- The slices that wait are not asked for, for the reason $4.
UPDATE walk SET is_waiting = false, last_number = 0, stop_reason = $4
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND is_waiting

-- name: list
-- The slices of an attempt, for closing.
SELECT number, parent, stop_reason, shortfall, record_count, highest, resume FROM walk
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 ORDER BY number

-- name: are_alike
-- Whether the first pages of several slices hold the very same records.
SELECT count(content_digest) > count(DISTINCT content_digest) FROM page
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = 1

-- name: room
-- What the run has left of $3 pages and $4 records.
SELECT $3::bigint - pages AS pages, $4::bigint - received AS records FROM run WHERE due_at = $1 AND id = $2

-- name: one_by_one
SELECT pg_advisory_xact_lock(hashtextextended('headwater.slices.' || $1::uuid::text, 0))
