-- name: get
SELECT sealed, key_id, has_refresh, version FROM source_token WHERE tenant = $1 AND name = $2

-- name: make
INSERT INTO source_token (tenant, name) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: lease
-- The right to ask for the token after version $3, for $5 seconds; no row when another has it, or did it.
UPDATE source_token SET lease = $4, leased_until = clock_timestamp() + make_interval(secs => $5)
 WHERE tenant = $1 AND name = $2 AND version = $3 AND (leased_until IS NULL OR leased_until <= clock_timestamp())
RETURNING true

-- name: store
-- The token after version $3, unless another was stored meanwhile.
UPDATE source_token SET sealed = $4, key_id = $5, has_refresh = $6, version = version + 1, lease = NULL, leased_until = NULL,
                        updated_at = clock_timestamp()
 WHERE tenant = $1 AND name = $2 AND version = $3
RETURNING version

-- name: release
-- The one that has the lease did not get a token.
UPDATE source_token SET lease = NULL, leased_until = NULL WHERE tenant = $1 AND name = $2 AND lease = $3
