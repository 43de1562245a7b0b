-- name: claim
-- First claims of (tenant, endpoint, key), in key order; gives the receipts that hold one since now, null when all do.
-- $4 says for each key in which places of $1 to $3 its tenant, endpoint and window stand: most have them in common.
WITH claimed AS (
    INSERT INTO dedupe_claim (tenant, endpoint, key, delivery_id, receipt_id, received_at, expires_at)
    SELECT e.tenant, e.endpoint, d.key, d.delivery_id, d.receipt_id, d.received_at,
           d.received_at + e.window_s * interval '1 second'
      FROM unnest($4::int[], $5::text[], $6::uuid[], $7::uuid[], $8::timestamptz[])
           AS d (place, key, delivery_id, receipt_id, received_at)
      JOIN unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS e (tenant, endpoint, window_s, place)
        ON e.place = d.place
     ORDER BY e.tenant, e.endpoint, d.key, d.received_at, d.receipt_id
    ON CONFLICT (tenant, endpoint, key) DO NOTHING
    RETURNING receipt_id
)
SELECT CASE WHEN count(*) < cardinality($4::int[]) THEN coalesce(array_agg(receipt_id), '{}') END FROM claimed

-- name: renew_claims
-- A claim whose window is over goes to the receipt that comes now.
UPDATE dedupe_claim c SET receipt_id = d.receipt_id, received_at = d.received_at, expires_at = d.expires_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
       AS d (tenant, endpoint, key, receipt_id, received_at, expires_at)
 WHERE c.tenant = d.tenant AND c.endpoint = d.endpoint AND c.key = d.key AND c.expires_at <= d.received_at

-- name: claims
-- Who holds each of these keys, and until when.
SELECT d.tenant, d.endpoint, d.key, c.receipt_id, c.expires_at
  FROM unnest($1::text[], $2::text[], $3::text[]) AS d (tenant, endpoint, key)
 CROSS JOIN LATERAL (
       SELECT receipt_id, expires_at FROM dedupe_claim
        WHERE tenant = d.tenant AND endpoint = d.endpoint AND key = d.key LIMIT 1) AS c

-- name: known
-- Which of these deliveries are stored already, by their receipts.
SELECT v.receipt_id FROM unnest($1::timestamptz[], $2::uuid[]) AS d (received_at, id)
 CROSS JOIN LATERAL (
       SELECT receipt_id FROM delivery WHERE received_at = d.received_at AND id = d.id LIMIT 1) AS v

-- name: partition_of
-- The partition for the day of $1, when there is one that may be written to as it is.
SELECT c.relname::text FROM pg_class c
 WHERE c.oid = to_regclass('headwater.delivery_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD'))
   AND has_table_privilege(c.oid, 'INSERT')

-- name: insert
-- Deliveries, once each; gives the receipts that are new.
INSERT INTO delivery (id, received_at, receipt_id, tenant, endpoint, state, reason, type, provider_id, method, url,
                      remote, headers, body, body_sha256, verification, form, settled_at)
SELECT d.id, d.received_at, d.receipt_id, d.tenant, d.endpoint, d.state, d.reason, d.type, d.provider_id, d.method,
       d.url, d.remote, d.headers::jsonb, d.body, sha256(d.body), d.verification::jsonb, d.form,
       CASE WHEN d.state <> 'accepted' THEN clock_timestamp() END
  FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[])
       AS d (id, received_at, receipt_id, tenant, endpoint, type, provider_id, method, url, remote, headers, body,
             verification, state, reason, form)
ON CONFLICT DO NOTHING
RETURNING receipt_id

-- name: settle
-- The final state of deliveries of this transaction.
UPDATE delivery v SET state = d.state, reason = d.reason, settled_at = clock_timestamp()
  FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[]) AS d (received_at, id, state, reason)
 WHERE v.received_at = d.received_at AND v.id = d.id AND v.state = 'accepted'

-- name: insert_duplicates
-- Marks on the first delivery, which holds the claim; bytes that differ from its own are a conflict.
INSERT INTO delivery_duplicate (receipt_id, received_at, tenant, endpoint, delivery_id, body_sha256, is_conflict)
SELECT d.receipt_id, d.received_at, d.tenant, d.endpoint, d.delivery_id, sha256(d.body),
       coalesce(v.body_sha256 <> sha256(d.body), false)
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[], $6::bytea[], $7::text[])
       AS d (receipt_id, received_at, tenant, endpoint, delivery_id, body, key)
  LEFT JOIN LATERAL (
       SELECT received_at, delivery_id FROM dedupe_claim
        WHERE tenant = d.tenant AND endpoint = d.endpoint AND key = d.key LIMIT 1) AS c ON true
  LEFT JOIN LATERAL (
       SELECT body_sha256 FROM delivery WHERE received_at = c.received_at AND id = c.delivery_id LIMIT 1) AS v ON true
ON CONFLICT DO NOTHING

-- name: get
SELECT *, (SELECT count(*) FROM delivery_duplicate u WHERE u.delivery_id = delivery.id) AS duplicate_count
  FROM delivery WHERE id = $1 ORDER BY received_at DESC LIMIT 1

-- name: get_by_receipt
-- A delivery by its first receipt, which came at $2: of several with one id, whose window had ended, each has its own.
SELECT *, (SELECT count(*) FROM delivery_duplicate u WHERE u.delivery_id = delivery.id) AS duplicate_count
  FROM delivery WHERE received_at = $2 AND receipt_id = $1

-- name: list
-- Deliveries of the tenant that the transaction names, newest first; filters are null or apply; after ($7, $8).
SELECT id, receipt_id, received_at, endpoint, state, reason, type, provider_id, method, url, remote, octet_length(body) AS body_bytes,
       encode(body_sha256, 'hex') AS body_sha256, settled_at, verification, form, replay_count, replayed_at,
       (SELECT count(*) FROM delivery_duplicate u WHERE u.delivery_id = delivery.id) AS duplicate_count
  FROM delivery
 WHERE ($1::text IS NULL OR endpoint = $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR type = $3)
   AND ($4::timestamptz IS NULL OR received_at >= $4) AND ($5::timestamptz IS NULL OR received_at < $5)
   AND ($7::timestamptz IS NULL OR (received_at, id) < ($7, $8::uuid))
   AND ($9::text IS NULL OR id::text = $9 OR provider_id = $9 OR position(convert_to($9, 'UTF8') IN body) > 0)
   AND ($10::text IS NULL OR EXISTS (
           SELECT 1 FROM jsonb_array_elements(headers) AS h (pair)
            WHERE lower(pair ->> 0) = $10 AND ($11::text IS NULL OR pair ->> 1 = $11)))
   AND ($12::text[] IS NULL OR CASE WHEN $13::text IS NULL THEN body_document(body) #> $12 IS NOT NULL
                                    ELSE coalesce(body_document(body) #>> $12, (body_document(body) #> $12)::text) = $13 END)
 ORDER BY received_at DESC, id DESC LIMIT $6

-- name: next_position
-- Everything that is stored from now on comes behind it.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1

-- name: follow
-- Deliveries of endpoint $2 behind ($3, $4, $5), stored by transactions before which none is open; at most $6, and no
-- more bodies than $7 bytes hold, but one at least.
WITH next AS (
    SELECT entered, received_at, id, octet_length(body) AS size FROM delivery
     WHERE tenant = $1 AND endpoint = $2 AND entered >= $3 AND (entered, received_at, id) > ($3, $4, $5::uuid)
       AND entered < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
     ORDER BY entered, received_at, id LIMIT $6
), summed AS (
    SELECT received_at, id, sum(size) OVER (ORDER BY entered, received_at, id) - size AS before FROM next
)
SELECT d.entered, d.received_at, d.id, d.endpoint, d.state, d.type, d.provider_id, d.method, d.url, d.headers, d.body
  FROM summed s JOIN delivery d ON d.received_at = s.received_at AND d.id = s.id
 WHERE s.before <= $7 ORDER BY d.entered, d.received_at, d.id

-- name: holder_of
SELECT delivery_id FROM dedupe_claim
 WHERE tenant = $1 AND endpoint = $2 AND key = $3 AND expires_at > clock_timestamp()

-- name: duplicates_of
SELECT receipt_id, received_at, encode(body_sha256, 'hex') AS body_sha256, is_conflict FROM delivery_duplicate
 WHERE delivery_id = $1 AND ($3::timestamptz IS NULL OR (received_at, receipt_id) < ($3, $4::uuid))
 ORDER BY received_at DESC, receipt_id DESC LIMIT $2

-- name: count_by_state
SELECT state, count(*) AS delivery_count FROM delivery WHERE received_at > now() - interval '1 day' GROUP BY state

-- name: sweep_claims
DELETE FROM dedupe_claim WHERE expires_at < (SELECT clock_timestamp()) - interval '1 day'

-- name: take_back
-- A dead delivery that is handed in anew: its row goes, its claim stays with this receipt.
DELETE FROM delivery WHERE received_at = $1 AND id = $2 AND receipt_id = $3 AND state = 'dead' RETURNING body
