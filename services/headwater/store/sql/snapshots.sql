-- name: put
-- Keep it under its name; true when the name is new.
INSERT INTO snapshot (tenant, name, note, definition, created_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, name) DO UPDATE SET note = excluded.note, definition = excluded.definition,
       created_by = excluded.created_by, created_at = clock_timestamp()
RETURNING xmax = 0

-- name: list
-- By name, after $2; at most $3.
SELECT name, note, created_by, created_at FROM snapshot
 WHERE tenant = $1 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3

-- name: get
SELECT name, note, definition, created_by, created_at FROM snapshot WHERE tenant = $1 AND name = $2

-- name: delete
DELETE FROM snapshot WHERE tenant = $1 AND name = $2 RETURNING name
