-- name: ask
-- Once more, where it was asked for before.
INSERT INTO widening (tenant, source, stream) VALUES ($1, $2, $3)
ON CONFLICT (tenant, source, stream) DO UPDATE
   SET state = 'waiting', asked_at = clock_timestamp(), ended_at = NULL, moved = NULL, reason = NULL
RETURNING state, asked_at, ended_at, moved, reason

-- name: get
SELECT state, asked_at, ended_at, moved, reason FROM widening WHERE tenant = $1 AND source = $2 AND stream = $3

-- name: take
-- The one that waits for longest, with what its stream is now, locked until the transaction ends; other persisters skip it.
SELECT w.tenant, w.source, w.stream, s.version_id
  FROM widening w JOIN stream s ON s.tenant = w.tenant AND s.source = w.source AND s.name = w.stream
 WHERE w.state = 'waiting' ORDER BY w.asked_at LIMIT 1 FOR UPDATE OF w SKIP LOCKED

-- name: end
UPDATE widening SET state = $4, moved = $5, reason = $6, ended_at = CASE WHEN $4 = 'waiting' THEN NULL ELSE clock_timestamp() END
 WHERE tenant = $1 AND source = $2 AND stream = $3
