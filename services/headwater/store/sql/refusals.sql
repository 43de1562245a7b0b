-- name: insert
-- A sample of refusals; what belongs to no tenant any more is passed over.
INSERT INTO refusal (id, tenant, endpoint, refused_at, status, reason, detail, skew_s, method, path, remote, headers,
                     body_bytes, body_sha256)
SELECT d.id, d.tenant, d.endpoint, d.refused_at, d.status, d.reason, d.detail, d.skew_s, d.method, d.path, d.remote,
       d.headers::jsonb, d.body_bytes, d.body_sha256
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[], $7::text[], $8::float8[],
              $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bytea[])
       AS d (id, tenant, endpoint, refused_at, status, reason, detail, skew_s, method, path, remote, headers,
             body_bytes, body_sha256)
  JOIN tenant t ON t.name = d.tenant
ON CONFLICT DO NOTHING

-- name: list
-- Refusals of tenant $1, newest first; filters are null or apply; after ($7, $8).
SELECT id, endpoint, refused_at, status, reason, detail, skew_s, method, path, remote, headers, body_bytes,
       encode(body_sha256, 'hex') AS body_sha256
  FROM refusal
 WHERE tenant = $1 AND ($2::text IS NULL OR endpoint = $2) AND ($3::text IS NULL OR reason = $3)
   AND ($4::timestamptz IS NULL OR refused_at >= $4) AND ($5::timestamptz IS NULL OR refused_at < $5)
   AND ($7::timestamptz IS NULL OR (refused_at, id) < ($7, $8::uuid))
 ORDER BY refused_at DESC, id DESC LIMIT $6

-- name: get
SELECT id, endpoint, refused_at, status, reason, detail, skew_s, method, path, remote, headers, body_bytes,
       encode(body_sha256, 'hex') AS body_sha256
  FROM refusal WHERE tenant = $1 AND id = $2

-- name: sweep
-- Samples older than $1 days, and per endpoint what is beyond the newest $2.
DELETE FROM refusal r USING (
    SELECT id, refused_at, row_number() OVER (PARTITION BY tenant, endpoint ORDER BY refused_at DESC, id DESC) AS place
      FROM refusal) AS old
 WHERE r.id = old.id AND (old.place > $2 OR old.refused_at < clock_timestamp() - make_interval(days => $1))
