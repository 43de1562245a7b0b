-- name: claim
-- First claims of (tenant, endpoint, key), in key order; a claim past its window is taken over.
INSERT INTO dedupe_claim AS c (tenant, endpoint, key, delivery_id, receipt_id, received_at, expires_at)
SELECT d.tenant, d.endpoint, d.key, d.delivery_id, d.receipt_id, d.received_at, d.expires_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::timestamptz[])
       AS d (tenant, endpoint, key, delivery_id, receipt_id, received_at, expires_at)
 ORDER BY d.tenant, d.endpoint, d.key, d.received_at, d.receipt_id
ON CONFLICT (tenant, endpoint, key) DO NOTHING

-- name: renew_claims
-- A claim whose window is over goes to the receipt that comes now.
UPDATE dedupe_claim c SET receipt_id = d.receipt_id, received_at = d.received_at, expires_at = d.expires_at
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
       AS d (tenant, endpoint, key, receipt_id, received_at, expires_at)
 WHERE c.tenant = d.tenant AND c.endpoint = d.endpoint AND c.key = d.key AND c.expires_at <= d.received_at

-- name: claims
-- Who holds each of these keys.
SELECT c.tenant, c.endpoint, c.key, c.receipt_id, c.delivery_id FROM dedupe_claim c
  JOIN unnest($1::text[], $2::text[], $3::text[]) AS d (tenant, endpoint, key)
    ON c.tenant = d.tenant AND c.endpoint = d.endpoint AND c.key = d.key

-- name: insert
-- Deliveries, once each; gives the ids that are new.
INSERT INTO delivery (id, received_at, receipt_id, tenant, endpoint, state, reason, type, provider_id, method, url,
                      remote, headers, body, body_sha256, verification, settled_at)
SELECT d.id, d.received_at, d.receipt_id, d.tenant, d.endpoint, 'accepted', NULL, d.type, d.provider_id, d.method,
       d.url, d.remote, d.headers::jsonb, d.body, sha256(d.body), d.verification::jsonb, NULL
  FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[], $12::bytea[], $13::text[])
       AS d (id, received_at, receipt_id, tenant, endpoint, type, provider_id, method, url, remote, headers, body,
             verification)
ON CONFLICT DO NOTHING
RETURNING id, receipt_id

-- name: settle
-- The final state of deliveries of this transaction.
UPDATE delivery v SET state = d.state, reason = d.reason, settled_at = clock_timestamp()
  FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[]) AS d (received_at, id, state, reason)
 WHERE v.received_at = d.received_at AND v.id = d.id AND v.state = 'accepted'

-- name: insert_duplicates
-- Marks on the first delivery.
INSERT INTO delivery_duplicate (receipt_id, received_at, tenant, endpoint, delivery_id, body_sha256)
SELECT d.receipt_id, d.received_at, d.tenant, d.endpoint, d.delivery_id, sha256(d.body)
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[], $6::bytea[])
       AS d (receipt_id, received_at, tenant, endpoint, delivery_id, body)
ON CONFLICT DO NOTHING

-- name: get
SELECT *, (SELECT count(*) FROM delivery_duplicate u WHERE u.delivery_id = delivery.id) AS duplicate_count
  FROM delivery WHERE id = $1 ORDER BY received_at DESC LIMIT 1

-- name: list
-- Deliveries of the tenant that the transaction names, newest first; filters are null or apply; after ($7, $8).
SELECT id, received_at, endpoint, state, reason, type, provider_id, method, url, remote, octet_length(body) AS body_bytes,
       encode(body_sha256, 'hex') AS body_sha256, settled_at, verification,
       (SELECT count(*) FROM delivery_duplicate u WHERE u.delivery_id = delivery.id) AS duplicate_count
  FROM delivery
 WHERE ($1::text IS NULL OR endpoint = $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR type = $3)
   AND ($4::timestamptz IS NULL OR received_at >= $4) AND ($5::timestamptz IS NULL OR received_at < $5)
   AND ($7::timestamptz IS NULL OR (received_at, id) < ($7, $8::uuid))
 ORDER BY received_at DESC, id DESC LIMIT $6

-- name: count_by_state
SELECT state, count(*) AS delivery_count FROM delivery WHERE received_at > now() - interval '1 day' GROUP BY state

-- name: sweep_claims
DELETE FROM dedupe_claim WHERE expires_at < clock_timestamp() - interval '1 day'

-- name: take_back
-- A dead delivery that is handed in anew: its row goes, its claim stays with this receipt.
DELETE FROM delivery WHERE received_at = $1 AND id = $2 AND receipt_id = $3 AND state = 'dead' RETURNING body
