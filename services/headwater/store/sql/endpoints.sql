-- name: snapshot
-- The receivers' snapshot: every endpoint that is enabled, with the name of the secret that its provider handed over.
-- Of those known ($1, $2) with the time $3 of their last change the definition is left out unless it changed.
SELECT e.tenant, e.name, e.updated_at, h.secret AS handshake_secret,
       CASE WHEN e.updated_at IS DISTINCT FROM d.known THEN e.definition END AS definition
  FROM endpoint e
  LEFT JOIN endpoint_handshake h ON h.tenant = e.tenant AND h.endpoint = e.name
  LEFT JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) AS d (tenant, name, known)
    ON d.tenant = e.tenant AND d.name = e.name
 WHERE e.enabled

-- name: one
SELECT e.tenant, e.name, e.definition, e.updated_at, h.secret AS handshake_secret
  FROM endpoint e LEFT JOIN endpoint_handshake h ON h.tenant = e.tenant AND h.endpoint = e.name
 WHERE e.enabled AND e.tenant = $1 AND e.name = $2

-- name: sealed
-- Secrets as they are kept.
SELECT tenant, name, sealed FROM secret
 WHERE (tenant, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: changed
-- Of the endpoints ($1, $2) known with the time $3 of their last change (null: not known): those that are there, with
-- the definition where it is another one. Disabled ones too: what they accepted goes its way.
SELECT e.tenant, e.name, e.updated_at,
       CASE WHEN e.updated_at IS DISTINCT FROM d.known THEN e.definition END AS definition
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS d (tenant, name, known)
  JOIN endpoint e ON e.tenant = d.tenant AND e.name = d.name

-- name: count
-- Add to what came, by slot of five minutes and outcome, in one order, so that receivers do not wait in a circle.
INSERT INTO endpoint_count AS c (tenant, endpoint, slot, outcome, request_count, last_at)
SELECT d.tenant, d.endpoint, d.slot, d.outcome, d.request_count, d.last_at
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::timestamptz[])
       AS d (tenant, endpoint, slot, outcome, request_count, last_at)
  JOIN tenant t ON t.name = d.tenant
 ORDER BY d.tenant, d.endpoint, d.slot, d.outcome
ON CONFLICT (tenant, endpoint, slot, outcome) DO UPDATE
   SET request_count = c.request_count + excluded.request_count, last_at = greatest(c.last_at, excluded.last_at)

-- name: note_uses
-- When secrets last verified something, in one order.
INSERT INTO secret_use AS u (tenant, endpoint, secret, last_used_at, use_count)
SELECT d.tenant, d.endpoint, d.secret, d.last_used_at, d.use_count
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
       AS d (tenant, endpoint, secret, last_used_at, use_count)
  JOIN tenant t ON t.name = d.tenant
 ORDER BY d.tenant, d.endpoint, d.secret
ON CONFLICT (tenant, endpoint, secret) DO UPDATE
   SET last_used_at = greatest(u.last_used_at, excluded.last_used_at), use_count = u.use_count + excluded.use_count

-- name: secret_uses
-- The secrets named in $3 with their last use by endpoint $2.
SELECT s.name, s.updated_at, u.last_used_at, u.use_count
  FROM secret s LEFT JOIN secret_use u ON u.tenant = s.tenant AND u.secret = s.name AND u.endpoint = $2
 WHERE s.tenant = $1 AND s.name = ANY($3::text[])

-- name: counts
-- What came to endpoint $2 of tenant $1 since $3, by outcome.
SELECT outcome, sum(request_count)::bigint AS request_count, max(last_at) AS last_at FROM endpoint_count
 WHERE tenant = $1 AND endpoint = $2 AND slot >= $3 GROUP BY outcome ORDER BY outcome

-- name: last_delivery
SELECT max(last_at) FROM endpoint_count WHERE tenant = $1 AND endpoint = $2 AND outcome = 'accepted'

-- name: oldest_delivery
SELECT received_at FROM delivery WHERE tenant = $1 AND endpoint = $2 ORDER BY received_at LIMIT 1

-- name: deliveries_since
SELECT state, count(*) AS delivery_count FROM delivery
 WHERE tenant = $1 AND endpoint = $2 AND received_at >= $3 GROUP BY state ORDER BY state

-- name: duplicates_since
SELECT count(*) FROM delivery_duplicate WHERE tenant = $1 AND endpoint = $2 AND received_at >= $3

-- name: remove
DELETE FROM endpoint WHERE tenant = $1 AND name = $2

-- name: switch
UPDATE endpoint SET enabled = $3, updated_at = clock_timestamp() WHERE tenant = $1 AND name = $2

-- name: sweep_counts
DELETE FROM endpoint_count WHERE slot < (SELECT clock_timestamp()) - make_interval(days => $1)

-- name: keep_handshake_secret
SELECT keep_handshake_secret($1, $2, $3, $4, $5)

-- name: handshake
SELECT secret, received_at, shown_at FROM endpoint_handshake WHERE tenant = $1 AND endpoint = $2

-- name: show_handshake
-- The secret's name, the first time that it is asked for.
UPDATE endpoint_handshake SET shown_at = clock_timestamp()
 WHERE tenant = $1 AND endpoint = $2 AND shown_at IS NULL RETURNING secret

-- name: forget_handshake
-- The endpoint awaits its handshake again.
WITH gone AS (
    DELETE FROM endpoint_handshake WHERE tenant = $1 AND endpoint = $2 RETURNING tenant, secret
)
DELETE FROM secret s USING gone WHERE s.tenant = gone.tenant AND s.name = gone.secret RETURNING s.name

-- name: forget
-- What is kept beside an endpoint that is removed: the provider's secret, its secrets' use, its counts, its alarms.
-- Deliveries, refusals and claims stay for as long as they are kept.
WITH handed_over AS (
    DELETE FROM endpoint_handshake WHERE tenant = $1 AND endpoint = $2 RETURNING secret
), sealed AS (
    DELETE FROM secret s WHERE s.tenant = $1
       AND (s.name IN (SELECT secret FROM handed_over) OR starts_with(s.name, 'endpoint/' || $2 || '/'))
), uses AS (
    DELETE FROM secret_use WHERE tenant = $1 AND endpoint = $2
), counts AS (
    DELETE FROM endpoint_count WHERE tenant = $1 AND endpoint = $2
)
DELETE FROM endpoint_alarm WHERE tenant = $1 AND endpoint = $2

-- name: retentions
-- How many days each endpoint keeps its deliveries.
SELECT tenant, name, coalesce((definition #>> '{retention,days}')::int, $1) AS days FROM endpoint

-- name: forget_deliveries
SELECT forget_deliveries($1, $2, clock_timestamp() - make_interval(days => $3), $4)

-- name: streams_there
-- Which of these streams (tenant, source, stream) there are.
SELECT tenant, source, name FROM stream
 WHERE (tenant, source, name) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
