-- name: claim
-- The first use of a key by an operation; no row when it was used before.
INSERT INTO idempotency_key (tenant, operation, key, digest, first_at)
VALUES ($1, $2, $3, $4, date_trunc('milliseconds', clock_timestamp()))
ON CONFLICT DO NOTHING RETURNING digest, first_at, result

-- name: get
SELECT digest, first_at, result FROM idempotency_key WHERE (tenant, operation, key) = ($1, $2, $3)

-- name: keep_result
UPDATE idempotency_key SET result = $4 WHERE (tenant, operation, key) = ($1, $2, $3)

-- name: sweep
-- Keys that were first used more than $1 days ago may be used anew.
DELETE FROM idempotency_key WHERE first_at < (SELECT clock_timestamp()) - make_interval(days => $1)
