-- name: put
-- Gives no row when nothing changed.
INSERT INTO destination (tenant, name, definition) VALUES ($1, $2, $3)
ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, updated_at = clock_timestamp()
 WHERE destination.definition IS DISTINCT FROM excluded.definition
RETURNING (xmax = 0) AS is_new

-- name: all
SELECT name, definition FROM destination WHERE tenant = $1 ORDER BY name

-- name: list
-- Destinations of tenant $1 by name, after $2, at most $3, with what is owed to each and what is wrong with it.
SELECT d.name, d.definition, d.created_at, d.updated_at, t.since, t.reason,
       (SELECT count(*) FROM (SELECT 1 FROM owed_record o WHERE o.tenant = d.tenant AND o.destination = d.name LIMIT 100000) AS few) AS owed
  FROM destination d LEFT JOIN destination_trouble t ON t.tenant = d.tenant AND t.destination = d.name
 WHERE d.tenant = $1 AND ($2::text IS NULL OR d.name > $2) ORDER BY d.name LIMIT $3

-- name: get
SELECT d.name, d.definition, d.created_at, d.updated_at, t.since, t.reason,
       (SELECT count(*) FROM (SELECT 1 FROM owed_record o WHERE o.tenant = d.tenant AND o.destination = d.name LIMIT 100000) AS few) AS owed
  FROM destination d LEFT JOIN destination_trouble t ON t.tenant = d.tenant AND t.destination = d.name
 WHERE d.tenant = $1 AND d.name = $2

-- name: lock
SELECT definition FROM destination WHERE tenant = $1 AND name = $2 FOR UPDATE

-- name: delete
DELETE FROM destination WHERE tenant = $1 AND name = $2 RETURNING name

-- name: users
-- Streams and endpoints of tenant $1 that name destination $2.
SELECT 'stream ' || s.source || '.' || s.name AS what FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND v.definition #>> '{stream,destination,to}' = $2
UNION ALL
SELECT 'endpoint ' || e.name FROM endpoint e
 WHERE e.tenant = $1 AND (e.definition #>> '{destination,to}' = $2 OR EXISTS (
       SELECT 1 FROM jsonb_array_elements(coalesce(e.definition -> 'tables', '[]')) AS t WHERE t #>> '{destination,to}' = $2))
 ORDER BY 1

-- name: targets
-- The destinations (tenant, name) that exist.
SELECT tenant, name, definition FROM destination
 WHERE (tenant, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: owe
-- Messages of this transaction; ids that are there already change nothing.
INSERT INTO owed_record (id, tenant, destination, routing_key, headers, body)
SELECT d.id, d.tenant, d.destination, d.routing_key, d.headers::jsonb, d.body
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
       AS d (id, tenant, destination, routing_key, headers, body)
ON CONFLICT DO NOTHING

-- name: owing
-- Destinations to which something is owed and that may be tried now.
SELECT d.tenant, d.name, d.definition FROM destination d
 WHERE EXISTS (SELECT 1 FROM owed_record o WHERE o.tenant = d.tenant AND o.destination = d.name)
   AND NOT EXISTS (SELECT 1 FROM destination_trouble t
                    WHERE t.tenant = d.tenant AND t.destination = d.name AND t.next_try_at > clock_timestamp())
 ORDER BY d.tenant, d.name

-- name: hold
-- One sender at a time for each destination, so that the order stays; false when another one is at it.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.destination'), hashtext($1 || '/' || $2))

-- name: claim
-- What is owed to a destination, oldest first; at most $3, and at most $4 bytes of bodies but for the first.
SELECT id, routing_key, headers, body FROM (
    SELECT o.*, sum(octet_length(o.body)) OVER (ORDER BY o.position) - octet_length(o.body) AS before
      FROM (SELECT * FROM owed_record WHERE tenant = $1 AND destination = $2 ORDER BY position LIMIT $3) AS o) AS w
 WHERE before < $4 ORDER BY position

-- name: sent
DELETE FROM owed_record WHERE id = ANY($1::uuid[])

-- name: troubled
-- It did not work: $3 why. The next try is after 1 s, 2 s, 4 s … 5 min.
INSERT INTO destination_trouble AS t (tenant, destination, next_try_at, reason)
VALUES ($1, $2, clock_timestamp() + interval '1 second', left($3, 1000))
ON CONFLICT (tenant, destination) DO UPDATE
   SET last_at = clock_timestamp(), failures = t.failures + 1, reason = excluded.reason,
       next_try_at = clock_timestamp() + make_interval(secs => least(300, 2 ^ least(t.failures, 10)))
 WHERE t.next_try_at <= clock_timestamp()

-- name: well
DELETE FROM destination_trouble WHERE tenant = $1 AND destination = $2
