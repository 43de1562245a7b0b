-- name: tenants
-- Tenants that the transaction sees, by name, after $1; at most $2.
SELECT name, settings, created_at, ending_at FROM tenant WHERE ($1::text IS NULL OR name > $1) ORDER BY name LIMIT $2

-- name: tenant
SELECT name, settings, created_at, ending_at FROM tenant WHERE name = $1

-- name: make_tenant
-- No row when the name is taken.
INSERT INTO tenant (name, settings) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name, settings, created_at, ending_at

-- name: change_tenant
-- Settings are merged; null takes one away. None of what is being removed.
UPDATE tenant SET settings = jsonb_strip_nulls(settings || $2) WHERE name = $1 AND ending_at IS NULL
RETURNING name, settings, created_at, ending_at

-- name: keys
-- Keys that the transaction sees, by id, after $1; at most $2; of tenant $3 where it is given.
SELECT id, tenant, name, scopes, created_at, expires_at, revoked_at FROM api_key
 WHERE ($1::text IS NULL OR id > $1) AND ($3::text IS NULL OR tenant = $3) ORDER BY id LIMIT $2

-- name: key
SELECT id, tenant, name, scopes, created_at, expires_at, revoked_at FROM api_key WHERE id = $1

-- name: other_admin_keys
-- How many keys besides $1 may still administer everything.
SELECT count(*) FROM api_key
 WHERE id <> $1 AND tenant IS NULL AND 'admin' = ANY (scopes) AND revoked_at IS NULL
   AND (expires_at IS NULL OR expires_at > clock_timestamp())

-- name: sources
SELECT name, definition, created_at, updated_at FROM source
 WHERE tenant = $1 AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3

-- name: source
SELECT name, definition, created_at, updated_at FROM source WHERE tenant = $1 AND name = $2

-- name: streams
-- The streams of a source with their current definitions.
SELECT s.source, s.name, s.version_id, s.updated_at, v.definition FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND s.source = $2 AND ($3::text IS NULL OR s.name > $3) ORDER BY s.name LIMIT $4

-- name: stream
SELECT s.source, s.name, s.version_id, s.updated_at, v.definition FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND s.source = $2 AND s.name = $3

-- name: stream_names
-- Every stream of the tenant as source.stream.
SELECT source || '.' || name AS stream FROM stream WHERE tenant = $1 ORDER BY 1

-- name: streams_with_cursor
SELECT s.source || '.' || s.name AS stream FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND v.definition #>> '{stream,incremental}' IS NOT NULL

-- name: loading
-- What else loads the tables $2: streams but those of the sources $3, endpoints but those named in $4.
SELECT s.source || '.' || s.name AS holder, v.definition #> '{stream,destination}' AS destination
  FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 AND s.source <> ALL($3::text[])
   AND v.definition #>> '{stream,destination,table}' = ANY($2::text[])
UNION ALL
SELECT 'endpoint ' || e.name, d.destination
  FROM endpoint e
 CROSS JOIN LATERAL (SELECT e.definition -> 'destination' AS destination
                     UNION ALL
                     SELECT t.part -> 'destination'
                       FROM jsonb_array_elements(
                            CASE jsonb_typeof(e.definition -> 'tables') WHEN 'array' THEN e.definition -> 'tables'
                                                                        ELSE '[]' END) AS t (part)) AS d
 WHERE e.tenant = $1 AND e.name <> ALL($4::text[]) AND d.destination ->> 'table' = ANY($2::text[])
 ORDER BY 1

-- name: schedules_after
-- Every schedule with the names in its `after`.
SELECT s.name, ARRAY(SELECT jsonb_array_elements_text(a.names)
                       FROM (VALUES (s.definition #> '{after,schedules}'), (s.definition #> '{after,any_of}'),
                                    (s.definition #> '{after,all_of}')) AS a (names)
                      WHERE jsonb_typeof(a.names) = 'array') AS upstreams
  FROM schedule s WHERE s.tenant = $1

-- name: all_streams
-- Every stream of the tenant with its definition, for the export.
SELECT s.source, s.name, v.definition FROM stream s JOIN stream_version v ON v.id = s.version_id
 WHERE s.tenant = $1 ORDER BY s.source, s.name

-- name: schedules
-- With the newest run, and what became of all. Filters: $4 state, $5 source.stream, $6 source, $7 enabled, $8 a part of
-- name or description.
SELECT s.name, s.definition, s.calendars, s.state, s.state_reason, s.next_at, s.last_due_at, s.created_at, s.updated_at, s.created_by,
       s.paused_by, s.paused_at, s.paused_until, c.total, c.succeeded, c.failed, c.skipped, c.partial, c.cancelled,
       c.consecutive_failures, c.last_success_at,
       r.id AS run_id, r.state AS run_state, r.started_at AS run_started_at, r.finished_at AS run_finished_at
  FROM schedule s
  LEFT JOIN schedule_record c ON (c.tenant, c.schedule) = (s.tenant, s.name)
  LEFT JOIN LATERAL (
       SELECT id, state, started_at, finished_at FROM run
        WHERE run.tenant = s.tenant AND run.schedule = s.name AND run.backfill_id IS NULL
        ORDER BY due_at DESC, generation DESC, id LIMIT 1) AS r ON true
 WHERE s.tenant = $1 AND ($2::text IS NULL OR s.name > $2) AND ($4::text IS NULL OR s.state = $4)
   AND ($5::text IS NULL OR s.definition -> 'streams' ? $5)
   AND ($6::text IS NULL OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(s.definition -> 'streams') AS e (stream)
                                     WHERE split_part(e.stream, '.', 1) = $6))
   AND ($7::boolean IS NULL OR coalesce((s.definition ->> 'enabled')::boolean, true) = $7)
   AND ($8::text IS NULL OR position(lower($8) IN lower(s.name || ' ' || coalesce(s.definition ->> 'description', ''))) > 0)
 ORDER BY s.name LIMIT $3

-- name: schedule
-- With the newest run, and what became of all.
SELECT s.name, s.definition, s.calendars, s.state, s.state_reason, s.next_at, s.last_due_at, s.created_at, s.updated_at, s.created_by,
       s.paused_by, s.paused_at, s.paused_until, s.fired_count, c.total, c.succeeded, c.failed, c.skipped, c.partial, c.cancelled,
       c.consecutive_failures, c.last_success_at,
       r.id AS run_id, r.state AS run_state, r.started_at AS run_started_at, r.finished_at AS run_finished_at
  FROM schedule s
  LEFT JOIN schedule_record c ON (c.tenant, c.schedule) = (s.tenant, s.name)
  LEFT JOIN LATERAL (
       SELECT id, state, started_at, finished_at FROM run
        WHERE run.tenant = s.tenant AND run.schedule = s.name AND run.backfill_id IS NULL
        ORDER BY due_at DESC, generation DESC, id LIMIT 1) AS r ON true
 WHERE s.tenant = $1 AND s.name = $2

-- name: endpoints
SELECT name, definition, enabled, created_at, updated_at FROM endpoint
 WHERE tenant = $1 AND ($2::text IS NULL OR name > $2) AND ($4::text IS NULL OR position($4 IN name) > 0)
 ORDER BY name LIMIT $3

-- name: endpoint
SELECT name, definition, enabled, created_at, updated_at FROM endpoint WHERE tenant = $1 AND name = $2

-- name: pages
-- The pages of a run after (attempt $3, walk $4, number $5); at most $6.
SELECT attempt, walk, number, status, received, rejected, body_bytes, stop_reason, begun_at, settled_at, sample
  FROM page WHERE run_at = $1 AND run_id = $2 AND (attempt, walk, number) > ($3, $4, $5)
 ORDER BY attempt, walk, number LIMIT $6

-- name: walks
-- The walks of a run's attempts, with the bounds of their slice of time or what people see of their parent; at most $3.
SELECT attempt, number, last_number, settled_count, record_count, stop_reason, highest, started_at, is_waiting,
       CASE WHEN is_slice THEN parent END AS slice, CASE WHEN NOT is_slice THEN parent END AS parent
  FROM walk CROSS JOIN LATERAL (SELECT coalesce(first_token ->> 'is_slice', 'false')::boolean AS is_slice) AS kind WHERE run_at = $1 AND run_id = $2 ORDER BY attempt, number LIMIT $3

-- name: rejected
-- The first $3 records of a run that were not taken.
SELECT attempt, walk, page, position, reason, record FROM rejected_record
 WHERE run_at = $1 AND run_id = $2 ORDER BY attempt, walk, page, position LIMIT $3

-- name: run_extent
SELECT (SELECT count(*) FROM page WHERE run_at = $1 AND run_id = $2) AS page_count,
       (SELECT count(*) FROM rejected_record WHERE run_at = $1 AND run_id = $2) AS rejected_count

-- name: highest_generation
-- Of the runs of one stream and schedule (null: none) at one due time.
SELECT coalesce(max(generation), 0) FROM run
 WHERE due_at = $1 AND (tenant, source, stream) = ($2, $3, $4) AND schedule IS NOT DISTINCT FROM $5

-- name: dead_letters
-- Dead letters of tenant $6 (with $7 also those of nobody), newest first, after ($4, $5).
SELECT id, tenant, queue, type, message_id, reason, attempt, octet_length(body) AS body_bytes, state, dead_at
  FROM dead_letter
 WHERE (tenant = $6 OR ($7 AND tenant IS NULL))
   AND ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR state = $2)
   AND ($4::timestamptz IS NULL OR (dead_at, id) < ($4, $5::uuid))
 ORDER BY dead_at DESC, id DESC LIMIT $3

-- name: dead_letter
SELECT *, octet_length(body) AS body_bytes FROM dead_letter
 WHERE id = $1 AND (tenant = $2 OR ($3 AND tenant IS NULL))
