-- name: insert
-- A message that was given up; once by its id.
INSERT INTO dead_letter (id, tenant, queue, type, message_id, reason, attempt, headers, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id

-- name: list
SELECT id, tenant, queue, type, message_id, reason, attempt, octet_length(body) AS body_bytes, state, dead_at
  FROM dead_letter
 WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR state = $2)
   AND ($4::timestamptz IS NULL OR (dead_at, id) < ($4, $5::uuid))
 ORDER BY dead_at DESC, id DESC LIMIT $3

-- name: get
SELECT * FROM dead_letter WHERE id = $1

-- name: set_state
UPDATE dead_letter SET state = $2 WHERE id = $1 AND state = 'open' RETURNING *

-- name: count_open
SELECT count(*) FROM dead_letter WHERE state = 'open'

-- name: reopen
-- A message that was replayed and given up again.
UPDATE dead_letter SET state = 'open', reason = $2, attempt = $3, dead_at = clock_timestamp()
 WHERE id = $1 AND state <> 'open'
