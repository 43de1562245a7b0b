-- name: known
-- Which of these walks ($4: keys) are there already, and the highest number of all walks of the attempt.
SELECT (SELECT max(number) FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3) AS top,
       ARRAY(SELECT parent_key FROM walk
              WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND parent_key = ANY($4::bytea[])) AS keys

-- name: keys_of
-- The keys of these walks ($4: numbers) of an attempt.
SELECT number, parent_key FROM walk
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = ANY($4::int[]) AND parent_key IS NOT NULL

-- name: insert
-- Walks that wait for their turn: $6 numbers, $7 keys, $8 parents, $9 first tokens, $10 highest cursor values.
INSERT INTO walk (run_at, run_id, attempt, tenant, level, is_waiting, number, parent_key, parent, first_token, highest)
SELECT $1, $2, $3, $4, $5, true, n, k, p::jsonb, t::jsonb, h::jsonb
  FROM unnest($6::int[], $7::bytea[], $8::text[], $9::text[], $10::text[]) AS d (n, k, p, t, h)
ON CONFLICT DO NOTHING

-- name: open_waiting
-- The walks whose turn it is, in order, so that no more are under way than walk 0 allows. The run's row is locked. The
-- limits of a run hold for all its slices together: a slice is told what those before it took.
WITH free AS (
    SELECT top.children_at_once - (
               SELECT count(*) FROM walk o
                WHERE o.run_at = $1 AND o.run_id = $2 AND o.attempt = $3 AND o.level > 0
                  AND o.last_number IS NULL AND NOT o.is_waiting) AS count
      FROM walk top
     WHERE top.run_at = $1 AND top.run_id = $2 AND top.attempt = $3 AND top.number = 0
), turn AS (
    SELECT number FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND is_waiting
     ORDER BY number LIMIT greatest(0, coalesce((SELECT count FROM free), 0))
)
UPDATE walk w SET is_waiting = false, started_at = clock_timestamp(),
                  first_token = CASE WHEN w.first_token ? 'is_slice' THEN w.first_token || jsonb_build_object(
                      'base_number', (w.first_token ->> 'base_number')::bigint - spent.pages,
                      'base_received', (w.first_token ->> 'base_received')::bigint - spent.received) ELSE w.first_token END
  FROM turn, (SELECT pages, received FROM run WHERE due_at = $1 AND id = $2) AS spent
 WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND w.number = turn.number
RETURNING w.number, w.first_token, (SELECT stream_version FROM run WHERE due_at = $1 AND id = $2) AS stream_version

-- name: last_settled
-- The last page of a walk that is settled.
SELECT max(number) FROM page
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND settled_at IS NOT NULL

-- name: count
-- Last of a load, with the run's row locked: $3 walks were made, $4 parents were not there any more.
UPDATE run SET parents = parents + $3, skipped = skipped + $4,
               warnings = ARRAY(SELECT DISTINCT w FROM unnest(warnings || $5::text[]) AS w ORDER BY w)
 WHERE due_at = $1 AND id = $2

-- name: cursors
-- How far the walks of these parents ($4: keys) were read.
SELECT parent_key, value, record_id, resume FROM parent_cursor
 WHERE (tenant, source, stream) = ($1, $2, $3) AND parent_key = ANY($4::bytea[])

-- name: summary
-- The walks of an attempt, for closing: the reason of the first one that was cut, and how many of the stream's own
-- ($4: their level) there are and brought something.
SELECT count(*) FILTER (WHERE level = $4) AS own_count,
       count(*) FILTER (WHERE level = $4 AND stop_reason <> 'not_found') AS found_count,
       (array_agg(stop_reason ORDER BY number) FILTER (WHERE stop_reason = ANY($5::text[])))[1] AS cut,
       (array_agg(stop_reason ORDER BY number))[1] AS first,
       coalesce(bool_or((first_token -> 'progress' ->> 'number')::int > 0 OR first_token ? 'edge'), false) AS has_resumed
  FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3

-- name: move
-- The cursor of each parent whose walk saw everything, and where the others go on. $4 tenant, $5 source, $6 stream,
-- $7 level, $8 reasons of walks that were cut, $9 the version that a token to go on at is good for (null: none is
-- kept), $10 whether a walk that a limit cut has seen everything below its second highest value; where that is no
-- further than the cursor was it goes on as the others do.
INSERT INTO parent_cursor AS c (tenant, source, stream, parent_key, parent, value, record_id, resume, synced_at, run_id)
SELECT $4, $5, $6, w.parent_key, w.parent,
       CASE WHEN w.goes_on THEN NULL
            WHEN jsonb_typeof(w.mark) = 'object' THEN w.mark -> 'value' ELSE w.mark END,
       CASE WHEN jsonb_typeof(w.mark) = 'object' AND NOT w.goes_on THEN w.mark ->> 'id' END,
       CASE WHEN w.goes_on AND w.resume IS NOT NULL AND $9::text IS NOT NULL
            THEN jsonb_build_object('token', w.resume, 'highest', w.highest, 'stream_version', $9::text)
            WHEN jsonb_typeof(w.mark) = 'object' AND NOT w.is_cut THEN jsonb_build_object('seen', w.mark -> 'seen')
            WHEN NOT w.goes_on AND jsonb_typeof(w.below -> 'seen') = 'array' AND jsonb_typeof(w.highest -> 'seen') = 'array'
            THEN jsonb_build_object('seen', (w.below -> 'seen') || (w.highest -> 'seen')) END,
       clock_timestamp(), $2
  FROM (SELECT v.*, v.is_cut AND (v.shortfall IS NOT NULL OR NOT $10 OR v.below IS NULL OR p.value = CASE
                   WHEN jsonb_typeof(v.below) = 'object' THEN v.below -> 'value' ELSE v.below END) IS TRUE AS goes_on
          FROM (SELECT *, shortfall IS NOT NULL OR stop_reason = ANY($8::text[]) AS is_cut,
                       CASE WHEN stop_reason = ANY($8::text[]) THEN below ELSE highest END AS mark FROM walk
                 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND level = $7 AND parent_key IS NOT NULL) AS v
          LEFT JOIN parent_cursor AS p ON (p.tenant, p.source, p.stream, p.parent_key) = ($4, $5, $6, v.parent_key)) AS w
 WHERE NOT w.is_cut AND w.highest IS NOT NULL
    OR w.is_cut AND w.stop_reason = 'limit' AND (NOT w.goes_on OR w.resume IS NOT NULL)
ON CONFLICT (tenant, source, stream, parent_key) DO UPDATE
   SET parent = excluded.parent, value = coalesce(excluded.value, c.value),
       record_id = coalesce(excluded.record_id, c.record_id),
       resume = CASE WHEN c.value = excluded.value AND NOT coalesce(c.resume ? 'token', false)
                     THEN coalesce(excluded.resume, c.resume) ELSE excluded.resume END,
       synced_at = excluded.synced_at, run_id = excluded.run_id

-- name: forget_places
-- Walks that went on where a limit had cut one and did not come to an end begin at their parent's cursor the next time.
-- $4 tenant, $5 source, $6 stream, $7 level, $8 reasons of walks that were cut.
UPDATE parent_cursor c SET resume = NULL
  FROM walk w
 WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND w.level = $7 AND w.stop_reason <> 'limit'
   AND (w.stop_reason = ANY($8::text[]) OR w.shortfall IS NOT NULL)
   AND (c.tenant, c.source, c.stream, c.parent_key) = ($4, $5, $6, w.parent_key) AND c.resume ? 'token'

-- name: list
-- How far the walks of a stream's parents were read, in order of their keys, after the key $4. At most $5.
SELECT parent_key, parent, value, record_id, synced_at, run_id FROM parent_cursor
 WHERE (tenant, source, stream) = ($1, $2, $3) AND parent_key > $4 ORDER BY parent_key LIMIT $5

-- name: count_cursors
SELECT count(*) FROM parent_cursor WHERE (tenant, source, stream) = ($1, $2, $3)

-- name: forget
DELETE FROM parent_cursor WHERE (tenant, source, stream) = ($1, $2, $3)
