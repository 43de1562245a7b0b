-- name: get
SELECT value, record_id, synced_at, run_id, version, resume FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3)

-- name: move
-- The cursor after a complete walk; only if nobody changed it since the run read it ($6: its version then, 0 for none).
-- $7 is the id of the last record at it, $8 what is known of the records there; without news of them they stay as they are.
INSERT INTO stream_cursor AS c (tenant, source, stream, value, synced_at, run_id, record_id, resume)
SELECT $1, $2, $3, $4, clock_timestamp(), $5, $7, $8
 WHERE $6::bigint = 0 OR EXISTS (SELECT 1 FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3))
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET value = excluded.value, synced_at = excluded.synced_at, run_id = excluded.run_id,
       record_id = CASE WHEN c.value = excluded.value THEN coalesce(excluded.record_id, c.record_id) ELSE excluded.record_id END,
       resume = CASE WHEN c.value = excluded.value AND NOT coalesce(c.resume ?| ARRAY['token', 'windows'], false)
                     THEN coalesce(excluded.resume, c.resume) ELSE excluded.resume END,
       version = c.version + 1
 WHERE c.version = $6
RETURNING version

-- name: touch
-- As move, where the values stand with the stream's parents.
INSERT INTO stream_cursor AS c (tenant, source, stream, synced_at, run_id)
SELECT $1, $2, $3, clock_timestamp(), $4
 WHERE $5::bigint = 0 OR EXISTS (SELECT 1 FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3))
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET synced_at = excluded.synced_at, run_id = excluded.run_id, version = c.version + 1
 WHERE c.version = $5
RETURNING version

-- name: reset
-- Back to the beginning. A row is left, so that a run that read the old one, or none, cannot move it any more.
INSERT INTO stream_cursor AS c (tenant, source, stream) VALUES ($1, $2, $3)
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET value = NULL, record_id = NULL, synced_at = NULL, run_id = NULL, resume = NULL, version = c.version + 1

-- name: put
-- Where a person says that the next run begins.
INSERT INTO stream_cursor AS c (tenant, source, stream, value, synced_at) VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET value = excluded.value, record_id = NULL, synced_at = excluded.synced_at, run_id = NULL, resume = NULL,
       version = c.version + 1

-- name: lock
-- One person at a time changes the cursor of a stream; the stream's row stands for it, since it may have none.
SELECT 1 FROM stream WHERE (tenant, source, name) = ($1, $2, $3) FOR NO KEY UPDATE

-- name: keep_resume
-- Where the next run goes on after a walk that a limit ended; only if nobody changed the cursor meanwhile ($5).
INSERT INTO stream_cursor AS c (tenant, source, stream, resume)
SELECT $1, $2, $3, $4
 WHERE $5::bigint = 0 OR EXISTS (SELECT 1 FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3))
ON CONFLICT (tenant, source, stream) DO UPDATE SET resume = excluded.resume
 WHERE c.version = $5
RETURNING version

-- name: get_resume
SELECT resume FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3)

-- name: keep_gaps
-- The cursor up to the first gap ($4, null: it stays), and the gaps ($8); only if nobody changed it meanwhile ($6).
INSERT INTO stream_cursor AS c (tenant, source, stream, value, synced_at, run_id, record_id, resume)
SELECT $1, $2, $3, $4, clock_timestamp(), $5, $7, $8
 WHERE $6::bigint = 0 OR EXISTS (SELECT 1 FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3))
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET value = coalesce(excluded.value, c.value), synced_at = excluded.synced_at, run_id = excluded.run_id,
       record_id = CASE WHEN excluded.value IS NULL OR c.value = excluded.value
                        THEN coalesce(excluded.record_id, c.record_id) ELSE excluded.record_id END,
       resume = excluded.resume, version = c.version + 1
 WHERE c.version = $6
RETURNING version

-- name: forget_since
-- What partial runs appended stays, now that the cursor is elsewhere.
DELETE FROM append_since WHERE (tenant, source, stream) = ($1, $2, $3)

-- name: forget_resume
-- The next run begins at the cursor.
UPDATE stream_cursor SET resume = NULL WHERE (tenant, source, stream) = ($1, $2, $3) AND resume ? 'token'
