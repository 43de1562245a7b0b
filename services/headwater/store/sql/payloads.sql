-- name: put
INSERT INTO payload (id, tenant, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: get
SELECT body FROM payload WHERE id = $1

-- name: sizes
SELECT id, octet_length(body) AS size FROM payload WHERE id = ANY($1::uuid[])

-- name: remove
DELETE FROM payload WHERE id = ANY($1::uuid[])

-- name: sweep
-- Bodies that no message can name any more: older than $1 days.
DELETE FROM payload WHERE created_at < (SELECT clock_timestamp()) - make_interval(days => $1)
