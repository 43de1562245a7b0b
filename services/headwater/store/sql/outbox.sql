-- name: add
-- A message that follows from this transaction; the same id again changes nothing.
INSERT INTO outbox (id, tenant, exchange, type, headers, body, not_before)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))
ON CONFLICT DO NOTHING

-- name: add_many
-- Many messages of one transaction; ids that are there already change nothing.
INSERT INTO outbox (id, tenant, exchange, type, headers, body)
SELECT d.id, d.tenant, d.exchange, d.type, d.headers::jsonb, d.body
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
       AS d (id, tenant, exchange, type, headers, body)
ON CONFLICT DO NOTHING

-- name: claim
-- Messages that are due, oldest first, locked; other relays skip them. At most $1: the first, and those behind it that
-- begin within $2 bytes.
WITH due AS (
    SELECT not_before, id, tenant, exchange, type, headers, body FROM outbox
     WHERE not_before <= (SELECT clock_timestamp()) ORDER BY not_before, id LIMIT $1 FOR UPDATE SKIP LOCKED
), summed AS (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY not_before, id) - octet_length(body) AS before FROM due
)
SELECT id, tenant, exchange, type, headers, body FROM summed WHERE before < $2 ORDER BY not_before, id

-- name: remove
DELETE FROM outbox WHERE id = ANY($1::uuid[])

-- name: delay
-- A message whose queue is full is looked at again later, and lets its neighbours pass.
UPDATE outbox SET not_before = clock_timestamp() + make_interval(secs => $2) WHERE id = $1

-- name: backlog
SELECT count(*) AS message_count, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_s
  FROM outbox
