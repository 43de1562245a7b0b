-- name: note
-- The attempt is about to load into tables of its own.
INSERT INTO run_staging (run_at, run_id, attempt, tenant) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: forget
-- They are gone.
DELETE FROM run_staging WHERE run_at = $1 AND run_id = $2 AND attempt = $3

-- name: take_abandoned
-- Attempts that ended and whose tables are still there, at most $1; other persisters skip them.
SELECT s.run_at, s.run_id, s.attempt, s.tenant, r.stream_version, r.mode, r.force, r.cursor_from IS NOT NULL AS has_cursor
  FROM run_staging s JOIN run r ON r.due_at = s.run_at AND r.id = s.run_id
 WHERE r.state NOT IN ('queued', 'running') OR r.attempt > s.attempt
 ORDER BY s.made_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED

-- name: manners
-- How runs load: what they were asked for, and whether their attempt reads only what is new.
SELECT r.* FROM unnest($1::timestamptz[], $2::uuid[]) AS d (at, run_id)
 CROSS JOIN LATERAL (
       SELECT id, state = 'running' AS is_running, attempt, mode, force, cursor_from IS NOT NULL AS has_cursor FROM run
        WHERE due_at = d.at AND id = d.run_id LIMIT 1) AS r

-- name: add_deleted
UPDATE run SET deleted = deleted + $3 WHERE due_at = $1 AND id = $2

-- name: keep_sample
UPDATE page SET sample = $6 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number = $5
