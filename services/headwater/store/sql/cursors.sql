-- name: get
SELECT value, record_id, synced_at, run_id, version FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3)

-- name: move
-- The cursor after a complete walk; only if nobody moved it since the run read it ($6 = what the run started from).
INSERT INTO stream_cursor AS c (tenant, source, stream, value, synced_at, run_id)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5)
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET value = excluded.value, synced_at = excluded.synced_at, run_id = excluded.run_id, version = c.version + 1
 WHERE c.value IS NOT DISTINCT FROM $6::jsonb
RETURNING version

-- name: reset
DELETE FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3)
