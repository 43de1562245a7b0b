-- name: add
-- A delivery that waits for its predecessors of the same key.
INSERT INTO ordered_delivery (tenant, endpoint, order_key, receipt_id, headers, body)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING

-- name: lock
-- These keys, for this transaction; whoever else wants one waits. In one order, so that nobody waits in a circle.
SELECT pg_advisory_xact_lock(k) FROM (
    SELECT DISTINCT hashtextextended(d.tenant || chr(31) || d.endpoint || chr(31) || d.order_key, 7) AS k
      FROM unnest($1::text[], $2::text[], $3::text[]) AS d (tenant, endpoint, order_key) ORDER BY k) AS keys

-- name: heads
-- The oldest unsettled deliveries of each of these keys, oldest first; at most $4 of a key: the first, and those behind
-- it that begin within $5 bytes.
SELECT o.position, o.tenant, o.endpoint, o.order_key, o.receipt_id, o.entered_at, o.headers, o.body
  FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS u (tenant, endpoint, order_key)) AS d
 CROSS JOIN LATERAL (
       SELECT w.*, sum(octet_length(w.body)) OVER (ORDER BY w.position) - octet_length(w.body) AS before
         FROM ordered_delivery w
        WHERE w.tenant = d.tenant AND w.endpoint = d.endpoint AND w.order_key = d.order_key
        ORDER BY w.position LIMIT $4) AS o
 WHERE o.before < $5
 ORDER BY o.position

-- name: positions
-- As heads, without what is in them but its size.
SELECT o.position, o.tenant, o.endpoint, o.order_key, o.size
  FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS u (tenant, endpoint, order_key)) AS d
 CROSS JOIN LATERAL (
       SELECT w.position, w.tenant, w.endpoint, w.order_key, octet_length(w.body) AS size,
              sum(octet_length(w.body)) OVER (ORDER BY w.position) - octet_length(w.body) AS before
         FROM ordered_delivery w
        WHERE w.tenant = d.tenant AND w.endpoint = d.endpoint AND w.order_key = d.order_key
        ORDER BY w.position LIMIT $4) AS o
 WHERE o.before < $5
 ORDER BY o.position

-- name: remove
DELETE FROM ordered_delivery WHERE position = ANY($1::bigint[])

-- name: stuck
-- Keys whose oldest delivery has waited for longer than $1 seconds: their message may be lost. At most $2.
SELECT DISTINCT ON (tenant, endpoint, order_key) tenant, endpoint, order_key, receipt_id, position
  FROM ordered_delivery WHERE entered_at < (SELECT clock_timestamp()) - make_interval(secs => $1)
 ORDER BY tenant, endpoint, order_key, position LIMIT $2

-- name: backlog
SELECT count(*) FROM ordered_delivery
