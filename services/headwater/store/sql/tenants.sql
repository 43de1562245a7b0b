-- name: contents
-- What is below a tenant ($1; $2 is the schema of its tables), each kind with its count; runs and deliveries up to 1000.
SELECT kind, found FROM (
    SELECT 1 AS place, 'source' AS kind, count(*) AS found FROM source WHERE tenant = $1
    UNION ALL SELECT 2, 'schedule', count(*) FROM schedule WHERE tenant = $1
    UNION ALL SELECT 3, 'endpoint', count(*) FROM endpoint WHERE tenant = $1
    UNION ALL SELECT 4, 'destination', count(*) FROM destination WHERE tenant = $1
    UNION ALL SELECT 5, 'notification', count(*) FROM notification_rule WHERE tenant = $1
    UNION ALL SELECT 6, 'calendar', count(*) FROM calendar WHERE tenant = $1
    UNION ALL SELECT 7, 'snapshot', count(*) FROM snapshot WHERE tenant = $1
    UNION ALL SELECT 8, 'secret', count(*) FROM secret WHERE tenant = $1
    UNION ALL SELECT 9, 'key', count(*) FROM api_key WHERE tenant = $1 AND revoked_at IS NULL
    UNION ALL SELECT 10, 'run', count(*) FROM (SELECT 1 FROM run WHERE tenant = $1 LIMIT 1000) AS few
    UNION ALL SELECT 11, 'delivery', count(*) FROM (SELECT 1 FROM delivery WHERE tenant = $1 LIMIT 1000) AS few
    UNION ALL SELECT 12, 'table', count(*) FROM pg_catalog.pg_class
               WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2) AND relkind IN ('r', 'p')
) AS counted WHERE found > 0 ORDER BY place

-- name: end
SELECT end_tenant($1)

-- name: ending
-- Tenants that are being removed, the longest first.
SELECT name FROM tenant WHERE ending_at IS NOT NULL ORDER BY ending_at, name

-- name: tables
SELECT name, block_count FROM tables_of_tenant($1)

-- name: forget
SELECT forget_tenant_rows($1, $2, $3, $4)

-- name: hold
SELECT hold_ended_tenant($1)

-- name: finish
SELECT finish_tenant($1)

-- name: gone
-- Which of these tenants are being removed, or were.
SELECT name FROM tenant WHERE name = ANY($1::text[]) AND ending_at IS NOT NULL
UNION SELECT name FROM ended_tenant WHERE name = ANY($1::text[])

-- name: ended
-- Tenants that were removed and whose names are nobody's.
SELECT name FROM ended_tenant ORDER BY name

-- name: late
-- Tenants that went $1 seconds ago or earlier and were not looked through again since.
SELECT name FROM ended_tenant
 WHERE swept_at IS NULL AND ended_at < clock_timestamp() - make_interval(secs => $1) ORDER BY ended_at, name

-- name: swept
UPDATE ended_tenant SET swept_at = clock_timestamp() WHERE name = $1

-- name: forget_names
DELETE FROM ended_tenant WHERE swept_at < clock_timestamp() - make_interval(days => $1)
