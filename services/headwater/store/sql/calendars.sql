-- name: put
INSERT INTO calendar (tenant, name, definition) VALUES ($1, $2, $3)
ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, updated_at = clock_timestamp()
 WHERE calendar.definition IS DISTINCT FROM excluded.definition

-- name: list
-- Calendars of a tenant by name, after $2; at most $3.
SELECT name, definition, created_at, updated_at FROM calendar
 WHERE tenant = $1 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3

-- name: get
SELECT name, definition, created_at, updated_at FROM calendar WHERE tenant = $1 AND name = $2

-- name: all
-- Every calendar of a tenant: they are few.
SELECT name, definition, created_at, updated_at FROM calendar WHERE tenant = $1 ORDER BY name

-- name: users
-- The schedules that name a calendar.
SELECT name FROM schedule WHERE tenant = $1 AND calendars <> '{}' AND calendars ? $2 ORDER BY name

-- name: delete
DELETE FROM calendar WHERE tenant = $1 AND name = $2 RETURNING name
