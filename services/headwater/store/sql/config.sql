-- name: insert_tenant
INSERT INTO tenant (name) VALUES ($1) ON CONFLICT DO NOTHING

-- name: list_tenants
SELECT name, created_at FROM tenant ORDER BY name

-- name: has_tenant
-- One that is being removed is there no more.
SELECT 1 FROM tenant WHERE name = $1 AND ending_at IS NULL

-- name: insert_key
INSERT INTO api_key (id, tenant, name, digest, scopes, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING id

-- name: find_key
SELECT id, tenant, name, digest, scopes, expires_at, revoked_at FROM find_api_key($1)

-- name: list_keys
SELECT id, tenant, name, scopes, created_at, expires_at, revoked_at FROM api_key ORDER BY created_at, id

-- name: revoke_key
UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = $1 AND revoked_at IS NULL RETURNING id

-- name: replace_key
-- The operator's own key (HEADWATER_ADMIN_KEY): its secret may be changed by changing the setting.
INSERT INTO api_key (id, tenant, name, digest, scopes) VALUES ($1, NULL, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, revoked_at = NULL WHERE api_key.tenant IS NULL

-- name: count_keys
SELECT count(*) FROM api_key WHERE revoked_at IS NULL

-- name: put_secret
INSERT INTO secret (tenant, name, sealed, key_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, name) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, updated_at = clock_timestamp()

-- name: get_secrets
SELECT tenant, name, sealed FROM secret
 WHERE (tenant, name) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: list_secrets
SELECT name, key_id, updated_at FROM secret WHERE tenant = $1 ORDER BY name

-- name: drop_secrets_like
DELETE FROM secret WHERE tenant = $1 AND name LIKE $2 AND NOT (name = ANY($3::text[]))

-- name: put_source
INSERT INTO source (tenant, name, definition) VALUES ($1, $2, $3)
ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, updated_at = clock_timestamp()
 WHERE source.definition IS DISTINCT FROM excluded.definition

-- name: list_sources
SELECT name, definition, created_at, updated_at FROM source WHERE tenant = $1 ORDER BY name

-- name: delete_sources_except
DELETE FROM source WHERE tenant = $1 AND NOT (name = ANY($2::text[])) RETURNING name

-- name: put_version
INSERT INTO stream_version (id, tenant, source, stream, definition) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING

-- name: get_version
SELECT definition FROM stream_version WHERE id = $1

-- name: put_stream
INSERT INTO stream (tenant, source, name, version_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, source, name) DO UPDATE SET version_id = excluded.version_id, updated_at = clock_timestamp()
 WHERE stream.version_id IS DISTINCT FROM excluded.version_id

-- name: versions_of
-- The version at which each stream of a source is.
SELECT name, version_id FROM stream WHERE tenant = $1 AND source = $2

-- name: has_stream
SELECT 1 FROM stream WHERE tenant = $1 AND source = $2 AND name = $3

-- name: list_streams
SELECT source, name, version_id, updated_at FROM stream WHERE tenant = $1 ORDER BY source, name

-- name: delete_streams_except
DELETE FROM stream WHERE tenant = $1 AND source = $2 AND NOT (name = ANY($3::text[])) RETURNING name

-- name: put_endpoint
INSERT INTO endpoint (tenant, name, definition) VALUES ($1, $2, $3)
ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, updated_at = clock_timestamp()

-- name: list_endpoints
SELECT name, definition, enabled, created_at, updated_at FROM endpoint WHERE tenant = $1 ORDER BY name

-- name: all_endpoints
-- The receiver's snapshot: every endpoint of every tenant.
SELECT tenant, name, definition FROM endpoint WHERE enabled

-- name: one_endpoint
SELECT tenant, name, definition FROM endpoint WHERE enabled AND tenant = $1 AND name = $2

-- name: delete_endpoints_except
DELETE FROM endpoint WHERE tenant = $1 AND NOT (name = ANY($2::text[])) RETURNING name

-- name: announce
-- Tells the receivers that the configuration changed; delivered at commit.
SELECT pg_notify('headwater_config', $1)

-- name: lock
-- Nobody else changes the tenant's configuration until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('headwater/config/' || $1, 0))

-- name: delete_source
DELETE FROM source WHERE tenant = $1 AND name = $2

-- name: endpoints_that_start
-- Endpoints whose deliveries start runs of one of these streams (source.stream).
SELECT name, definition FROM endpoint
 WHERE tenant = $1
   AND EXISTS (SELECT 1 FROM jsonb_array_elements(definition -> 'starts') AS s WHERE s ->> 'stream' = ANY ($2::text[]))
 ORDER BY name
