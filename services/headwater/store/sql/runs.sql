-- name: insert_many
-- Runs, unless they are there already. One is recorded as skipped (overlap) where `others` runs of its schedule and
-- stream have not ended. Gives id, due_at and state of those that were inserted.
INSERT INTO run (id, due_at, tenant, source, stream, schedule, trigger, mode, force, parameters, time_window,
                 generation, priority, started_by, attempts_max, retry, timeout_s, at_once, supersedes, boundary,
                 backfill_id, state, skip_reason, finished_at)
SELECT d.id, d.due_at, d.tenant, d.source, d.stream, d.schedule, d.trigger, d.mode, d.force, d.parameters::jsonb,
       d.time_window::jsonb, d.generation, d.priority, d.started_by, d.attempts_max, d.retry::jsonb, d.timeout_s,
       d.at_once, d.supersedes, d.boundary, d.backfill_id,
       CASE WHEN left_out.reason IS NULL THEN 'queued' ELSE 'skipped' END, left_out.reason,
       CASE WHEN left_out.reason IS NOT NULL THEN clock_timestamp() END
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::boolean[], $10::text[], $11::text[], $12::int[], $13::int[], $14::text[], $15::int[], $16::text[],
              $17::float8[], $18::int[], $19::int[], $20::boolean[], $21::timestamptz[], $22::uuid[], $23::text[])
       AS d (id, due_at, tenant, source, stream, schedule, trigger, mode, force, parameters, time_window, generation,
             priority, started_by, attempts_max, retry, timeout_s, others, at_once, supersedes, boundary, backfill_id,
             skip_reason)
 CROSS JOIN LATERAL (SELECT coalesce(d.skip_reason, CASE WHEN d.others IS NOT NULL AND (
        SELECT count(*) FROM (
            SELECT 1 FROM run r
             WHERE r.tenant = d.tenant AND r.source = d.source AND r.stream = d.stream AND r.schedule = d.schedule
               AND r.state IN ('queued', 'running') AND r.id <> d.id AND r.backfill_id IS NULL LIMIT d.others) AS others)
        >= d.others THEN 'overlap' END) AS reason) AS left_out
ON CONFLICT DO NOTHING
RETURNING id, due_at, state

-- name: start_many
-- Runs of due schedules, unless they are there already: $1 to $4 with the place ($5) in $6 and following of what many of
-- them have in common. One is recorded as skipped (overlap) where `others` runs of its schedule and stream have not ended;
-- those that this transaction inserted do not count: due times that are made up for together wait for one another.
-- Where `may_go` holds, one that clearly may go is admitted at once: nothing of its stream is under way (or it runs beside
-- others and does not overlap too many), no limit of source or tenant is at stake, and it takes the stream's slot. All
-- others wait for the relay, which lets none go before it is due. Gives those that were inserted, with `stream_version`
-- where they go. Runs that have not ended are due from $21 to before $22: so the days that have none are left out.
WITH asked AS MATERIALIZED (
    SELECT d.id, d.source, d.stream, d.schedule, k.*, coalesce(k.skip_reason, CASE WHEN busy.is_so IS TRUE AND (
               SELECT count(*) FROM (
                   SELECT 1 FROM run r
                    WHERE r.tenant = k.tenant AND r.source = d.source AND r.stream = d.stream AND r.schedule = d.schedule
                      AND r.state IN ('queued', 'running') AND r.due_at >= $21 AND r.due_at < $22
                      AND r.xmin <> pg_current_xact_id()::xid AND r.id <> d.id AND r.backfill_id IS NULL LIMIT k.others)
               AS others) >= k.others THEN 'overlap' END) AS reason,
           CASE WHEN k.may_go AND (k.at_once IS NOT NULL OR busy.is_so IS NULL)
                     AND limited_source.is_so IS NULL AND limited_tenant.is_so IS NULL THEN s.version_id END AS version_id
      FROM unnest(string_to_array($1, E'\x1f')::uuid[], string_to_array($2, E'\x1f'), string_to_array($3, E'\x1f'),
                  string_to_array($4, E'\x1f'), string_to_array($5, E'\x1f')::int[])
           AS d (id, source, stream, schedule, place)
      JOIN unnest($6::text[], $7::timestamptz[], $8::text[], $9::boolean[], $10::text[], $11::int[], $12::text[],
                  $13::float8[], $14::int[], $15::int[], $16::boolean[], $17::text[], $18::timestamptz[], $19::text[],
                  $20::boolean[])
           WITH ORDINALITY AS k (tenant, due_at, mode, force, parameters, attempts_max, retry, timeout_s, others, at_once,
                                 supersedes, skip_reason, parked_until, waits_for, may_go, place) USING (place)
      -- LIMIT keeps the planner at looks by key, whatever it takes the tables for
      LEFT JOIN LATERAL (
           SELECT version_id FROM stream s WHERE (s.tenant, s.source, s.name) = (k.tenant, d.source, d.stream) LIMIT 1)
           AS s ON true
      LEFT JOIN LATERAL (
           SELECT true AS is_so FROM run r
            WHERE r.tenant = k.tenant AND r.source = d.source AND r.stream = d.stream AND r.state IN ('queued', 'running')
              AND r.due_at >= $21 AND r.due_at < $22 LIMIT 1) AS busy ON true
      LEFT JOIN LATERAL (
           SELECT true AS is_so FROM source o
            WHERE (o.tenant, o.name) = (k.tenant, d.source) AND o.definition ->> 'max_running' IS NOT NULL LIMIT 1)
           AS limited_source ON true
      LEFT JOIN LATERAL (
           SELECT true AS is_so FROM tenant t WHERE t.name = k.tenant AND t.settings ->> 'max_running' IS NOT NULL LIMIT 1)
           AS limited_tenant ON true
), taken AS (
    INSERT INTO stream_slot (tenant, source, stream, run_id, run_at)
    SELECT tenant, source, stream, id, due_at FROM asked
     WHERE version_id IS NOT NULL AND reason IS NULL AND at_once IS NULL
     ORDER BY tenant, source, stream, due_at, id
    ON CONFLICT DO NOTHING RETURNING run_id
)
INSERT INTO run (id, due_at, tenant, source, stream, schedule, trigger, mode, force, parameters, started_by, attempts_max,
                 retry, timeout_s, at_once, supersedes, parked_until, waits_for, state, skip_reason, finished_at,
                 stream_version, admitted_at)
SELECT d.id, d.due_at, d.tenant, d.source, d.stream, d.schedule, 'schedule', d.mode, d.force, d.parameters::jsonb,
       'schedule ' || d.schedule, d.attempts_max, d.retry::jsonb, d.timeout_s, d.at_once, d.supersedes,
       CASE WHEN d.reason IS NULL THEN
            coalesce(d.parked_until, CASE WHEN d.due_at > clock_timestamp() AND NOT going.is_going THEN d.due_at END) END,
       CASE WHEN d.reason IS NULL THEN d.waits_for END,
       CASE WHEN d.reason IS NULL THEN 'queued' ELSE 'skipped' END, d.reason,
       CASE WHEN d.reason IS NOT NULL THEN clock_timestamp() END,
       CASE WHEN going.is_going THEN d.version_id END, CASE WHEN going.is_going THEN greatest(clock_timestamp(), d.due_at) END
  FROM asked d LEFT JOIN taken t ON t.run_id = d.id
 CROSS JOIN LATERAL (SELECT d.reason IS NULL AND d.version_id IS NOT NULL
                            AND (d.at_once IS NOT NULL OR t.run_id IS NOT NULL) AS is_going) AS going
ON CONFLICT DO NOTHING
RETURNING id, due_at, tenant, attempt, state, stream_version

-- name: open_before
-- Whether a run that is due before $1 has not ended. Ordered as the index of those is, so that no other one is read.
SELECT 1 FROM run WHERE state IN ('queued', 'running') AND due_at < $1 ORDER BY tenant, source, stream, schedule LIMIT 1

-- name: release_vain
-- The slots of these runs that have ended, or were never admitted.
DELETE FROM stream_slot s
 WHERE s.run_id = ANY($1::uuid[])
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.due_at = s.run_at AND r.id = s.run_id
                      AND r.state IN ('queued', 'running') AND r.admitted_at IS NOT NULL)

-- name: get
-- One run of a tenant.
SELECT run.*, run_waits_for(run) AS waiting_for FROM run WHERE due_at = $1 AND id = $2

-- name: list
-- Runs of the tenant that the transaction names, newest first; each filter is null or applies; after ($10, $11).
SELECT run.*, run_waits_for(run) AS waiting_for FROM run
 WHERE tenant = current_setting('headwater.tenant')
   AND ($1::text IS NULL OR schedule = $1)
   AND ($2::text IS NULL OR source = $2) AND ($3::text IS NULL OR stream = $3)
   AND ($4::text IS NULL OR state = $4) AND ($5::text IS NULL OR trigger = $5)
   AND ($6::uuid IS NULL OR backfill_id = $6)
   AND ($7::timestamptz IS NULL OR due_at >= $7) AND ($8::timestamptz IS NULL OR due_at < $8)
   AND ($10::timestamptz IS NULL OR (due_at, id) < ($10, $11::uuid))
 ORDER BY due_at DESC, id DESC LIMIT $9

-- name: count_by_state
-- How many runs are in each state that is not final, and how many ended in the last day.
SELECT state, count(*) AS run_count FROM run
 WHERE state IN ('queued', 'running') OR due_at > now() - interval '1 day' GROUP BY state

-- name: owed
-- What a round of the relay finds to do: seconds until a message of the outbox is due (null: none is there); runs that take
-- others' places, that wait for admission, that were admitted $1 seconds ago (since $2) and are not published; deadlines
-- and pauses that are over; ends to be counted and starts that were put off; backfills that may go on.
SELECT clock_timestamp() AS now,
       (SELECT extract(epoch FROM min(not_before) - clock_timestamp())::float8 FROM outbox) AS message_due_s,
       EXISTS (SELECT 1 FROM run WHERE supersedes AND state = 'queued' AND admitted_at IS NULL) AS superseding,
       EXISTS (SELECT 1 FROM run WHERE state = 'queued' AND admitted_at IS NULL
                  AND (parked_until IS NULL OR parked_until <= (SELECT clock_timestamp()))) AS waiting,
       EXISTS (SELECT 1 FROM run WHERE state = 'queued' AND published_at IS NULL AND admitted_at IS NOT NULL
                  AND admitted_at >= $2 AND admitted_at <= (SELECT clock_timestamp()) - make_interval(secs => $1)) AS unpublished,
       EXISTS (SELECT 1 FROM run WHERE state IN ('queued', 'running') AND deadline_at <= (SELECT clock_timestamp()))
       OR EXISTS (SELECT 1 FROM schedule WHERE state = 'paused' AND paused_until <= (SELECT clock_timestamp())) AS overdue,
       EXISTS (SELECT 1 FROM run_end) OR EXISTS (SELECT 1 FROM chain_start WHERE start_at <= (SELECT clock_timestamp())) AS ends,
       EXISTS (SELECT 1 FROM backfill WHERE state = 'running' AND next_start_at <= (SELECT clock_timestamp())) AS backfills

-- name: waiting
-- Queued runs that may go as things stand, in order: the first of each tenant, then the second, …; within a tenant
-- manual before scheduled before backfill. A run goes when its stream is free (or, for one that runs beside others, when
-- fewer than `at_once` of its kind do) and schedule, source and tenant allow one more: `…_most` (null: no limit) and
-- `…_busy`. About $1 at most, and at least 20 of each tenant.
WITH RECURSIVE tenant_waiting (name) AS (
    (SELECT tenant FROM run WHERE state = 'queued' AND admitted_at IS NULL ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant FROM run r WHERE r.state = 'queued' AND r.admitted_at IS NULL AND r.tenant > w.name
             ORDER BY r.tenant LIMIT 1)
      FROM tenant_waiting w WHERE w.name IS NOT NULL
)
SELECT c.*, t.most AS tenant_most, b.busy AS tenant_busy
  FROM tenant_waiting w
  JOIN LATERAL (SELECT (settings ->> 'max_running')::int AS most FROM tenant WHERE tenant.name = w.name) AS t ON true
  LEFT JOIN LATERAL (SELECT count(*) AS busy FROM run u
                      WHERE u.tenant = w.name AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running')) AS b
         ON t.most IS NOT NULL
 CROSS JOIN LATERAL (
    SELECT r.id, r.due_at, r.tenant, r.source, r.stream, r.schedule, r.at_once, r.backfill_id, s.version_id,
           kind.busy AS kind_busy, of_schedule.most AS schedule_most, of_schedule.busy AS schedule_busy,
           of_source.most AS source_most, of_source.busy AS source_busy,
           row_number() OVER (ORDER BY r.priority, r.due_at, r.id) AS turn
      FROM run r
     CROSS JOIN LATERAL (  -- LIMIT keeps the planner at a look by key for each run, whatever it takes the table for
           SELECT version_id FROM stream s WHERE (s.tenant, s.source, s.name) = (r.tenant, r.source, r.stream) LIMIT 1) AS s
      LEFT JOIN LATERAL (
           SELECT count(*) AS busy FROM run u
            WHERE (u.tenant, u.source, u.schedule, u.stream) = (r.tenant, r.source, r.schedule, r.stream)
              AND u.backfill_id IS NOT DISTINCT FROM r.backfill_id
              AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running')) AS kind ON r.at_once IS NOT NULL
      LEFT JOIN LATERAL (
           SELECT (o.definition ->> 'max_running')::int AS most, (
                  SELECT count(*) FROM run u WHERE (u.tenant, u.schedule) = (r.tenant, r.schedule)
                     AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running')) AS busy
             FROM schedule o WHERE (o.tenant, o.name) = (r.tenant, r.schedule)
              AND o.definition ->> 'max_running' IS NOT NULL) AS of_schedule ON true
      LEFT JOIN LATERAL (
           SELECT (o.definition ->> 'max_running')::int AS most, (
                  SELECT count(*) FROM run u WHERE (u.tenant, u.source) = (r.tenant, r.source)
                     AND u.admitted_at IS NOT NULL AND u.state IN ('queued', 'running')) AS busy
             FROM source o WHERE (o.tenant, o.name) = (r.tenant, r.source)
              AND o.definition ->> 'max_running' IS NOT NULL) AS of_source ON true
     WHERE r.tenant = w.name AND r.state = 'queued' AND r.admitted_at IS NULL
       AND (r.parked_until IS NULL OR r.parked_until <= (SELECT clock_timestamp()))
       AND (r.at_once IS NOT NULL OR (
            SELECT 1 FROM stream_slot t WHERE (t.tenant, t.source, t.stream) = (r.tenant, r.source, r.stream) LIMIT 1) IS NULL)
       AND (r.at_once IS NULL OR kind.busy < r.at_once)
       AND (of_schedule.most IS NULL OR of_schedule.busy < of_schedule.most)
       AND (of_source.most IS NULL OR of_source.busy < of_source.most)
     ORDER BY r.priority, r.due_at, r.id
     LIMIT greatest(20, $1::int / (SELECT count(name) FROM tenant_waiting))
    ) AS c
 WHERE w.name IS NOT NULL AND (t.most IS NULL OR b.busy < t.most)
 ORDER BY c.turn, c.tenant
 LIMIT $1

-- name: admit
-- These runs take their streams' slots ($6: or need none) and are pinned to the versions given. The caller holds the
-- admission lock. Gives those that did; one that was cancelled meanwhile does not.
WITH chosen AS (
    SELECT * FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::uuid[])
               AS c (due_at, id, tenant, source, stream, is_beside, version_id)
), taken AS (
    INSERT INTO stream_slot (tenant, source, stream, run_id, run_at)
    SELECT tenant, source, stream, id, due_at FROM chosen WHERE NOT is_beside
     ORDER BY tenant, source, stream  -- as firing does: two that take many wait for one another in one order only
    ON CONFLICT DO NOTHING RETURNING run_id
)
UPDATE run r SET admitted_at = clock_timestamp(), parked_until = NULL, waits_for = NULL,
                 stream_version = coalesce(r.stream_version, c.version_id)
  FROM chosen c
 WHERE r.due_at = c.due_at AND r.id = c.id AND r.state = 'queued' AND r.admitted_at IS NULL
   AND r.due_at = ANY($1::timestamptz[]) AND r.id = ANY($2::uuid[])  -- by the key: a join would read the whole day
   AND (c.is_beside OR c.id IN (SELECT run_id FROM taken))
RETURNING r.id, r.due_at, r.tenant, r.attempt, r.stream_version

-- name: release_slots
-- The slots that these runs took in vain.
DELETE FROM stream_slot WHERE run_id = ANY($1::uuid[])

-- name: superseded
-- Runs that have not ended, of a schedule and stream of which a newer one waits that is to take their place. At most 100.
SELECT DISTINCT ON (o.id) o.id, n.id AS successor_id
  FROM run n JOIN run o ON (o.tenant, o.source, o.stream, o.schedule) = (n.tenant, n.source, n.stream, n.schedule)
 WHERE n.supersedes AND n.state = 'queued' AND n.admitted_at IS NULL
   AND o.state IN ('queued', 'running') AND o.backfill_id IS NULL AND (o.due_at, o.id) < (n.due_at, n.id)
 ORDER BY o.id, n.due_at DESC, n.id DESC LIMIT 100

-- name: note_fault
-- What a page of the attempt met that is tried again in $4 seconds; shown to people until the run ends.
UPDATE run SET error_kind = $5, error_message = $6, waits_for = 'page_retry',
               parked_until = clock_timestamp() + make_interval(secs => $4)
 WHERE due_at = $1 AND id = $2 AND attempt = $3 AND state = 'running'

-- name: count_requests
UPDATE run SET requests = requests + $4 WHERE due_at = $1 AND id = $2 AND attempt = $3 AND state = 'running'

-- name: overdue
-- Runs whose deadline has passed, with what their pages met last. At most 100.
SELECT id, timeout_s, error_kind, error_message FROM run
 WHERE state IN ('queued', 'running') AND deadline_at IS NOT NULL AND deadline_at <= (SELECT clock_timestamp())
 ORDER BY deadline_at, id LIMIT 100

-- name: end
-- A run of a schedule ended: to be counted.
INSERT INTO run_end (tenant, schedule, run_id, run_at, generation) VALUES ($1, $2, $3, $4, $5)

-- name: lock_admission
-- Only one relay admits at a time; false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.admission'))

-- name: claim_unpublished
-- Admitted runs whose run.due is still owed $2 seconds after their admission, locked; other relays skip them. At most $1.
-- Until then the timer that admitted them is about to publish them itself. All admitted before $3 are published.
SELECT id, due_at, tenant, attempt, stream_version FROM run
 WHERE state = 'queued' AND admitted_at IS NOT NULL AND admitted_at >= $3
   AND admitted_at <= (SELECT clock_timestamp()) - make_interval(secs => $2) AND published_at IS NULL
 ORDER BY admitted_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: mark_published
-- The run.due of attempt $5 of these runs is safe, since $6 seconds. $1 and $2: the earliest and latest due time of them;
-- a list of values tells the planner not which days to leave out.
UPDATE run SET published_at = clock_timestamp() - make_interval(secs => $6)
 WHERE due_at >= $1 AND due_at <= $2 AND due_at = ANY($3::timestamptz[]) AND id = ANY($4::uuid[]) AND attempt = $5
   AND published_at IS NULL

-- name: without_stream
-- Queued runs whose stream is gone: they can never be admitted.
SELECT r.id, r.due_at FROM run r
 WHERE r.state = 'queued' AND r.admitted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM stream s WHERE (s.tenant, s.source, s.name) = (r.tenant, r.source, r.stream))
 LIMIT 100

-- name: begin
-- A queued run of this attempt starts; gives its state as it is now (also when it ran already), with the cursor.
UPDATE run r SET state = 'running', started_at = coalesce(r.started_at, clock_timestamp()),
                 progress_at = clock_timestamp(), cursor_from = c.value, cursor_version = coalesce(c.version, 0),
                 deadline_at = coalesce(r.deadline_at, clock_timestamp() + make_interval(secs => r.timeout_s))
  FROM (SELECT 1) AS one LEFT JOIN run q ON q.due_at = $1 AND q.id = $2
       LEFT JOIN stream_cursor c ON (c.tenant, c.source, c.stream) = (q.tenant, q.source, q.stream)
 WHERE r.due_at = $1 AND r.id = $2 AND r.attempt = $3 AND r.state = 'queued' AND r.admitted_at IS NOT NULL
RETURNING r.id

-- name: brief
-- What a worker needs of a run.
SELECT r.state, r.attempt, r.attempts_max, r.tenant, r.source, r.stream, r.stream_version, r.mode, r.cursor_from,
       r.started_at, r.parameters, r.time_window, c.resume, c.record_id
  FROM run r LEFT JOIN stream_cursor c ON (c.tenant, c.source, c.stream) = (r.tenant, r.source, r.stream)
 WHERE r.due_at = $1 AND r.id = $2

-- name: skipped_of
SELECT id FROM run WHERE due_at = ANY($1::timestamptz[]) AND id = ANY($2::uuid[]) AND state = 'skipped'

-- name: has_retries
SELECT retry IS NOT NULL FROM run WHERE due_at = $1 AND id = $2

-- name: insert_walk
INSERT INTO walk (run_id, run_at, attempt, number, tenant, first_token, highest, children_at_once)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING

-- name: first_token
SELECT first_token FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = $4

-- name: lock
-- The run, locked for a change of state.
SELECT * FROM run WHERE due_at = $1 AND id = $2 FOR UPDATE

-- name: finish
-- A final state, once: only from a state that is not final.
UPDATE run SET state = $3, stop_reason = coalesce($4, stop_reason), error_kind = $5, error_message = $6,
               skip_reason = $7, warnings = ARRAY(SELECT DISTINCT w FROM unnest(warnings || $8::text[]) AS w ORDER BY w),
               deleted = deleted + $9, ended_by = $10, finished_at = clock_timestamp(), parked_until = NULL, waits_for = NULL
 WHERE due_at = $1 AND id = $2 AND state IN ('queued', 'running')
RETURNING *

-- name: requeue
-- The same run again, attempt + 1, at the earliest after $3 seconds.
UPDATE run SET state = 'queued', attempt = attempt + 1, admitted_at = NULL, published_at = NULL, progress_at = NULL, started_at = NULL,
               parked_until = clock_timestamp() + make_interval(secs => $3), waits_for = 'retry',
               error_kind = $4, error_message = $5,
               failures = failures || jsonb_build_object(
                   'attempt', attempt, 'class', $4::text, 'message', $5::text, 'started_at', started_at,
                   'failed_at', clock_timestamp(), 'again_at', clock_timestamp() + make_interval(secs => $3)),
               pages = 0, requests = 0, received = 0, inserted = 0, updated = 0, unchanged = 0, rejected = 0, deleted = 0,
               parents = 0, skipped = 0, warnings = '{}'
 WHERE due_at = $1 AND id = $2 AND state = 'running'
RETURNING *

-- name: release_slot
DELETE FROM stream_slot WHERE (tenant, source, stream) = ($1, $2, $3) AND run_id = $4

-- name: release_orphaned_slots
-- Slots whose run is final or gone: a missed release mends itself.
DELETE FROM stream_slot s
 WHERE s.taken_at < (SELECT clock_timestamp()) - interval '30 seconds'
   AND NOT EXISTS (SELECT 1 FROM run r WHERE r.due_at = s.run_at AND r.id = s.run_id
                      AND r.state IN ('queued', 'running') AND r.admitted_at IS NOT NULL)

-- name: stalled
-- Running runs without progress for $1 seconds, oldest first; each look moves progress_at. At most 100.
UPDATE run r SET progress_at = clock_timestamp()
  FROM (SELECT due_at, id FROM run WHERE state = 'running' AND progress_at < (SELECT clock_timestamp()) - make_interval(secs => $1)
         ORDER BY progress_at LIMIT 100 FOR UPDATE SKIP LOCKED) AS still
 WHERE r.due_at = still.due_at AND r.id = still.id
RETURNING r.id, r.due_at, r.tenant, r.attempt, r.stream_version, r.started_at

-- name: missing_pages
-- The first pages of an attempt that have not settled, at most $4, with the token of each where it is known: from the
-- page before, or from the plan that the first page made.
SELECT w.number AS walk, g.number, coalesce(before.next_token, CASE WHEN g.number = 1 THEN w.first_token ELSE plan.next_token END) AS token
  FROM walk w
  LEFT JOIN page plan ON plan.run_at = w.run_at AND plan.run_id = w.run_id AND plan.attempt = w.attempt AND plan.walk = w.number
       AND plan.number = 1 AND plan.settled_at IS NOT NULL AND (plan.next_token ->> 'planned')::int > 0
 CROSS JOIN LATERAL (
       SELECT coalesce(max(p.number), 0) AS number FROM page p
        WHERE p.run_at = w.run_at AND p.run_id = w.run_id AND p.attempt = w.attempt AND p.walk = w.number
          AND p.settled_at IS NOT NULL) AS top
 CROSS JOIN LATERAL generate_series(
       1, coalesce(w.last_number, greatest((plan.next_token ->> 'planned')::int, top.number + 1))) AS g (number)
  LEFT JOIN page there ON there.run_at = w.run_at AND there.run_id = w.run_id AND there.attempt = w.attempt
       AND there.walk = w.number AND there.number = g.number AND there.settled_at IS NOT NULL
  LEFT JOIN page before ON before.run_at = w.run_at AND before.run_id = w.run_id AND before.attempt = w.attempt
       AND before.walk = w.number AND before.number = g.number - 1 AND before.settled_at IS NOT NULL
 WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND there.number IS NULL AND NOT w.is_waiting
 ORDER BY w.number, g.number LIMIT $4

-- name: park
-- The run waits for its API until then; shown to people, and cleared by its next page.
UPDATE run SET parked_until = clock_timestamp() + make_interval(secs => $3), waits_for = $4, progress_at = clock_timestamp() + make_interval(secs => $3)
 WHERE due_at = $1 AND id = $2 AND state = 'running'

-- name: unpark
UPDATE run SET parked_until = NULL, waits_for = NULL WHERE due_at = $1 AND id = $2 AND parked_until IS NOT NULL AND state = 'running'
