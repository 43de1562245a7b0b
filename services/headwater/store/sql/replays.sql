-- name: count
-- Deliveries of tenant $1 that a replay by this filter would take, by state.
SELECT state, count(*) AS delivery_count FROM delivery
 WHERE tenant = $1 AND state <> 'accepted' AND ($2::uuid[] IS NULL OR id = ANY($2)) AND ($3::text IS NULL OR endpoint = $3)
   AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR type = $5)
   AND ($6::timestamptz IS NULL OR received_at >= $6) AND ($7::timestamptz IS NULL OR received_at < $7)
   AND ($8::text IS NULL OR id::text = $8 OR provider_id = $8 OR position(convert_to($8, 'UTF8') IN body) > 0)
   AND ($9::text IS NULL OR EXISTS (
           SELECT 1 FROM jsonb_array_elements(headers) AS h (pair)
            WHERE lower(pair ->> 0) = $9 AND ($10::text IS NULL OR pair ->> 1 = $10)))
   AND ($11::text[] IS NULL OR CASE WHEN $12::text IS NULL THEN body_document(body) #> $11 IS NOT NULL
                                    ELSE coalesce(body_document(body) #>> $11, (body_document(body) #> $11)::text) = $12 END)
 GROUP BY state ORDER BY state

-- name: request
-- Take the deliveries of this filter, oldest first and at most $8; each has its next number, a row for it, and a message
-- that names it, $9 of them a second (null: at once). The message's id is a hash of delivery and number.
WITH chosen AS (
    SELECT received_at, id, row_number() OVER (ORDER BY received_at, id) AS place FROM delivery
     WHERE tenant = $1 AND state <> 'accepted' AND ($2::uuid[] IS NULL OR id = ANY($2)) AND ($3::text IS NULL OR endpoint = $3)
       AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR type = $5)
       AND ($6::timestamptz IS NULL OR received_at >= $6) AND ($7::timestamptz IS NULL OR received_at < $7)
       AND ($12::text IS NULL OR id::text = $12 OR provider_id = $12 OR position(convert_to($12, 'UTF8') IN body) > 0)
       AND ($13::text IS NULL OR EXISTS (
               SELECT 1 FROM jsonb_array_elements(headers) AS h (pair)
                WHERE lower(pair ->> 0) = $13 AND ($14::text IS NULL OR pair ->> 1 = $14)))
       AND ($15::text[] IS NULL OR CASE WHEN $16::text IS NULL THEN body_document(body) #> $15 IS NOT NULL
                                        ELSE coalesce(body_document(body) #>> $15, (body_document(body) #> $15)::text) = $16 END)
     ORDER BY received_at, id LIMIT $8
), numbered AS (
    UPDATE delivery d SET replay_count = d.replay_count + 1 FROM chosen c
     WHERE d.received_at = c.received_at AND d.id = c.id
    RETURNING d.received_at, d.id, d.replay_count AS number, c.place
), marks AS (
    INSERT INTO delivery_replay (tenant, delivery_id, received_at, number, requested_by, request_id)
    SELECT $1, id, received_at, number, $10, $11::uuid FROM numbered
), owed AS (
    INSERT INTO outbox (id, tenant, type, headers, body, not_before)
    SELECT encode(substring(sha256(convert_to('replay/' || id || '/' || received_at || '/' || number, 'UTF8')) FOR 16), 'hex')::uuid,
           $1, 'webhook.received',
           jsonb_build_object('tenant', $1::text, 'replay', jsonb_build_array(id, to_char(received_at AT TIME ZONE 'UTC',
               'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), number)::text),
           ''::bytea, clock_timestamp() + coalesce(make_interval(secs => (place - 1) / $9::float8), interval '0')
      FROM numbered
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM numbered

-- name: begin_request
INSERT INTO replay_request (id, tenant, selection, rate_per_s, requested_by) VALUES ($1, $2, $3, $4, $5)

-- name: count_request
UPDATE replay_request SET delivery_count = $2 WHERE id = $1

-- name: requests
-- Requests of tenant $1 with what became of them, newest first, after ($3, $4).
SELECT q.id, q.selection, q.rate_per_s, q.delivery_count, q.requested_by, q.requested_at, q.cancelled_at, s.states, s.last_at
  FROM replay_request q
 CROSS JOIN LATERAL (
       SELECT coalesce(jsonb_object_agg(t.state, t.n), '{}') AS states, max(t.last_at) AS last_at
         FROM (SELECT state, count(*) AS n, max(settled_at) AS last_at FROM delivery_replay
                WHERE request_id = q.id GROUP BY state) AS t) AS s
 WHERE q.tenant = $1 AND ($3::timestamptz IS NULL OR (q.requested_at, q.id) < ($3, $4::uuid))
   AND ($5::uuid IS NULL OR q.id = $5)
 ORDER BY q.requested_at DESC, q.id DESC LIMIT $2

-- name: cancel
-- The replays of request $2 that nobody has in hand wait no longer; their messages go. Gives how many.
WITH waiting AS (
    SELECT delivery_id, received_at, number FROM delivery_replay
     WHERE tenant = $1 AND request_id = $2 AND state = 'waiting' ORDER BY received_at, delivery_id, number
       FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE delivery_replay r SET state = 'cancelled', settled_at = clock_timestamp() FROM waiting w
     WHERE r.delivery_id = w.delivery_id AND r.received_at = w.received_at AND r.number = w.number
), unsent AS (
    DELETE FROM outbox o USING waiting w
     WHERE o.id = encode(substring(sha256(convert_to('replay/' || w.delivery_id || '/' || w.received_at || '/' || w.number,
                                                     'UTF8')) FOR 16), 'hex')::uuid
), told AS (
    UPDATE replay_request SET cancelled_at = coalesce(cancelled_at, clock_timestamp()) WHERE tenant = $1 AND id = $2
)
SELECT count(*) FROM waiting

-- name: originals
-- The deliveries that are to be replayed, with their bytes.
SELECT d.received_at, d.id, d.receipt_id, d.tenant, d.endpoint, d.type, d.provider_id, d.method, d.url, d.remote,
       d.headers, d.body, d.verification, r.number, r.requested_at
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[]) AS w (received_at, id, number)
  JOIN delivery_replay r ON r.delivery_id = w.id AND r.received_at = w.received_at AND r.number = w.number
  JOIN delivery d ON d.received_at = w.received_at AND d.id = w.id
 WHERE (r.state = 'waiting' OR (r.state = 'dead' AND r.settled_at IS NULL))

-- name: sizes
-- How many bytes the bodies of these deliveries have.
SELECT d.received_at, d.id, octet_length(d.body) AS size
  FROM unnest($1::timestamptz[], $2::uuid[]) AS w (received_at, id)
  JOIN delivery d ON d.received_at = w.received_at AND d.id = w.id

-- name: claim
-- These replays and their deliveries, locked; those that wait, with whether a later one of theirs was settled already.
SELECT r.received_at, r.delivery_id AS id, r.number,
       EXISTS (SELECT 1 FROM delivery_replay l WHERE l.delivery_id = r.delivery_id AND l.received_at = r.received_at
                  AND l.number > r.number AND l.settled_at IS NOT NULL AND l.state IN ('done', 'filtered', 'dead'))
           AS is_superseded
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[]) AS w (received_at, id, number)
  JOIN delivery d ON d.received_at = w.received_at AND d.id = w.id
  JOIN delivery_replay r ON r.delivery_id = w.id AND r.received_at = w.received_at AND r.number = w.number
 WHERE (r.state = 'waiting' OR (r.state = 'dead' AND r.settled_at IS NULL))
 ORDER BY r.received_at, r.delivery_id, r.number
   FOR UPDATE OF d, r

-- name: settle
UPDATE delivery_replay r SET state = w.state, reason = w.reason, settled_at = clock_timestamp()
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::text[], $5::text[]) AS w (received_at, id, number, state, reason)
 WHERE r.delivery_id = w.id AND r.received_at = w.received_at AND r.number = w.number
   AND (r.state = 'waiting' OR (r.state = 'dead' AND r.settled_at IS NULL))

-- name: give_up
-- The replay's message was given up: it is dead, but not settled, so that it can still be done when the message comes back.
UPDATE delivery_replay SET state = 'dead', reason = left($4, 1000)
 WHERE received_at = $1 AND delivery_id = $2 AND number = $3 AND state = 'waiting'

-- name: resettle
-- What a replay made of its delivery.
UPDATE delivery d SET state = w.state, reason = w.reason, form = w.form, settled_at = clock_timestamp(), replayed_at = clock_timestamp()
  FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS w (received_at, id, state, reason, form)
 WHERE d.received_at = w.received_at AND d.id = w.id

-- name: of_delivery
SELECT number, state, reason, requested_by, requested_at, settled_at, request_id FROM delivery_replay
 WHERE tenant = $1 AND delivery_id = $2 ORDER BY number DESC LIMIT 100

-- name: sweep
DELETE FROM delivery_replay WHERE requested_at < (SELECT clock_timestamp()) - make_interval(days => $1)

-- name: sweep_requests
DELETE FROM replay_request WHERE requested_at < (SELECT clock_timestamp()) - make_interval(days => $1)
