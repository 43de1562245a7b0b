-- name: list
-- Names without a slash: the others belong to a source or an endpoint.
SELECT name, key_id, updated_at FROM secret
 WHERE tenant = $1 AND position('/' IN name) = 0 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3

-- name: get
SELECT name, key_id, updated_at FROM secret WHERE tenant = $1 AND name = $2

-- name: remove
DELETE FROM secret WHERE tenant = $1 AND name = $2

-- name: definitions
SELECT 'endpoint ' || name AS name, definition FROM endpoint WHERE tenant = $1
 UNION ALL
SELECT 'source ' || name, definition FROM source WHERE tenant = $1
 UNION ALL
SELECT 'destination ' || name, definition FROM destination WHERE tenant = $1
 UNION ALL
SELECT 'notification ' || name, definition FROM notification_rule WHERE tenant = $1
 UNION ALL
SELECT 'stream ' || s.source || '.' || s.name, v.definition FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1

-- name: count_by_key
SELECT key_id, count(*) AS secret_count FROM secret WHERE tenant = $1 GROUP BY key_id

-- name: all
SELECT name, sealed, key_id FROM secret WHERE tenant = $1 ORDER BY name FOR UPDATE

-- name: reseal
-- The value stays, and so does since when it is the one.
UPDATE secret SET sealed = $3, key_id = $4 WHERE tenant = $1 AND name = $2
