-- name: put
-- A schedule; its next due time is computed anew only when its definition or its calendars changed. One that was over,
-- disabled or at fault goes on where its new definition lets it.
INSERT INTO schedule AS s (tenant, name, definition, state, next_at, calendars, state_reason, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, nullif(current_setting('headwater.actor', true), ''))
ON CONFLICT (tenant, name) DO UPDATE
   SET definition = excluded.definition, calendars = excluded.calendars,
       state = CASE WHEN excluded.state = 'disabled' THEN 'disabled'
                    WHEN s.state IN ('paused', 'failed') THEN s.state
                    WHEN $8::bigint IS NOT NULL AND s.fired_count >= $8 THEN 'expired'
                    ELSE excluded.state END,
       state_reason = CASE WHEN excluded.state <> 'disabled' AND s.state IN ('paused', 'failed') THEN s.state_reason
                           WHEN $8::bigint IS NOT NULL AND s.fired_count >= $8 THEN 'max_runs' ELSE excluded.state_reason END,
       next_at = CASE WHEN s.state IN ('paused', 'failed') THEN NULL
                      WHEN $8::bigint IS NOT NULL AND s.fired_count >= $8 THEN NULL ELSE excluded.next_at END,
       updated_at = clock_timestamp()
 WHERE s.definition IS DISTINCT FROM excluded.definition OR s.calendars IS DISTINCT FROM excluded.calendars

-- name: list
SELECT name, definition, state, state_reason, next_at, last_due_at, created_at, updated_at FROM schedule
 WHERE tenant = $1 ORDER BY name

-- name: definitions
-- The definitions of these schedules.
SELECT name, definition FROM schedule WHERE tenant = $1 AND name = ANY($2::text[])

-- name: delete_except
DELETE FROM schedule WHERE tenant = $1 AND NOT (name = ANY($2::text[])) RETURNING name

-- name: with_calendars
-- Schedules that name calendars, locked for a change.
SELECT name, definition, state, state_reason, next_at, calendars FROM schedule
 WHERE tenant = $1 AND calendars <> '{}' AND calendars ? $2 ORDER BY name FOR UPDATE

-- name: set_calendars
-- What a schedule keeps of its calendars, and its next due time by them.
UPDATE schedule SET calendars = $3, next_at = $4, state = $5, state_reason = $6 WHERE tenant = $1 AND name = $2

-- name: set_definition
UPDATE schedule SET definition = $3, updated_at = clock_timestamp() WHERE tenant = $1 AND name = $2

-- name: by_index
-- For the rest of the transaction: a day's partition that was empty when it was last looked at is not believed to be so
-- still. The statements of timers find each of their thousand rows by a key, and would read the day for each instead.
SET LOCAL enable_seqscan = off

-- name: be_impatient
-- For the rest of the transaction: what others hold is left to them after $1 ms, and what it holds is let go when its
-- process is not heard of for $2 ms.
SELECT set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true)

-- name: claim_due
-- Schedules due now by the database's clock, locked for this transaction; other timers skip them. At most $1. In the
-- order of the index alone: to put in order what is due at one moment would be to read all of it for each claim. `shape`
-- is what many schedules may have in common: the definition without names, streams and who is told. The clock is read
-- once, by a query of its own: as it stands, no index could be searched by it, and all that is to come would be read.
SELECT tenant, name, definition ->> 'streams' AS streams,
       (definition - '{name,description,streams,notify,callback_url}'::text[])::text AS shape,
       calendars::text AS calendars, next_at, fired_count, clock_timestamp() AS now
  FROM schedule
 WHERE state = 'active' AND next_at <= (SELECT clock_timestamp())
 ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: due_soon
-- As claim_due, what will be due in $1 seconds, without a lock: $2 at most.
SELECT tenant, name, definition ->> 'streams' AS streams,
       (definition - '{name,description,streams,notify,callback_url}'::text[])::text AS shape,
       calendars::text AS calendars, next_at, fired_count, clock_timestamp() AS now
  FROM schedule
 WHERE state = 'active' AND next_at <= (SELECT clock_timestamp() + make_interval(secs => $1))
 ORDER BY next_at LIMIT $2

-- name: count_ahead
-- How many schedules will be due by $1 and are not yet; at most $2.
SELECT count(*) FROM (
    SELECT 1 FROM schedule
     WHERE state = 'active' AND next_at > (SELECT clock_timestamp()) AND next_at <= $1 LIMIT $2) AS d

-- name: claim_ahead
-- As claim_due, schedules that are not due yet and will be by $1, where what becomes of them is known before: they ask for
-- nothing that is to be judged when they are due, and none of their own runs, due from $2 to before $1, is open. Read
-- piece by piece: asked anew, it would go through all that the transaction has taken before.
SELECT tenant, name, definition ->> 'streams' AS streams,
       (definition - '{name,description,streams,notify,callback_url}'::text[])::text AS shape,
       calendars::text AS calendars, next_at, fired_count, clock_timestamp() AS now
  FROM schedule s
 WHERE state = 'active' AND next_at > (SELECT clock_timestamp()) AND next_at <= $1
   AND definition ->> 'when' IS NULL AND definition ->> 'max_runs' IS NULL
   AND coalesce(definition -> 'windows', '[]') = '[]' AND coalesce(definition #>> '{jitter,kind}', 'none') = 'none'
   AND NOT EXISTS (
       SELECT 1 FROM jsonb_array_elements_text(definition -> 'streams') AS of (stream)
        CROSS JOIN LATERAL (
              SELECT 1 FROM run r
               WHERE r.tenant = s.tenant AND r.source = split_part(of.stream, '.', 1)
                 AND r.stream = split_part(of.stream, '.', 2) AND r.schedule = s.name
                 AND r.state IN ('queued', 'running') AND r.due_at >= $2 AND r.due_at < $1 LIMIT 1) AS open)
 ORDER BY next_at FOR UPDATE SKIP LOCKED

-- name: claim_due_fairly
-- As claim_due where more are due than one claim takes: $2 of each tenant at most, those after tenant $3 first.
SELECT d.*, clock_timestamp() AS now
  FROM (SELECT name FROM tenant ORDER BY name <= $3, name) AS t
 CROSS JOIN LATERAL (
       SELECT tenant, name, definition ->> 'streams' AS streams,
              (definition - '{name,description,streams,notify,callback_url}'::text[])::text AS shape,
              calendars::text AS calendars, next_at, fired_count
         FROM schedule s
        WHERE s.tenant = t.name AND state = 'active' AND next_at <= (SELECT clock_timestamp())
        ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS d
 LIMIT $1

-- name: advance
-- How schedules go on: $1 with the place ($2) in $3 and following of what many of them have in common.
UPDATE schedule s SET last_due_at = coalesce(k.last_due_at, s.last_due_at), next_at = k.next_at, state = k.state,
                      state_reason = k.reason, fired_count = s.fired_count + k.fired_count
  FROM unnest(string_to_array($1, E'\x1f'), string_to_array($2, E'\x1f')::int[]) AS d (name, place)
  JOIN unnest($3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::int[])
       WITH ORDINALITY AS k (tenant, last_due_at, next_at, state, reason, fired_count, place) USING (place)
 WHERE s.tenant = k.tenant AND s.name = d.name

-- name: next_due
-- The database's clock, and when the next schedule is due (null when none is).
SELECT clock_timestamp() AS now,
       (SELECT min(next_at) FROM schedule WHERE state = 'active' AND next_at IS NOT NULL) AS next_at

-- name: last_runs
-- The newest run that was not skipped of each schedule ($2) and stream ($3, $4) of a tenant ($1), side by side.
SELECT w.place, r.*
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (tenant, schedule, source, stream, place)
 CROSS JOIN LATERAL (
       SELECT * FROM run
        WHERE run.tenant = w.tenant AND run.source = w.source AND run.stream = w.stream AND run.schedule = w.schedule
          AND run.state <> 'skipped'
        ORDER BY run.due_at DESC, run.generation DESC LIMIT 1) AS r

-- name: park
-- Runs that wait for their moment ($3) before they are admitted; $4 says what for. Side by side.
UPDATE run r SET parked_until = d.until, waits_for = d.waits_for
  FROM unnest($1::timestamptz[], $2::uuid[], $3::timestamptz[], $4::text[]) AS d (due_at, id, until, waits_for)
 WHERE r.due_at = d.due_at AND r.id = d.id AND r.state = 'queued' AND r.admitted_at IS NULL

-- name: tell_faults
-- Why the conditions of skipped runs could not be asked ($3), side by side.
UPDATE run r SET error_kind = 'condition', error_message = d.message
  FROM unnest($1::timestamptz[], $2::uuid[], $3::text[]) AS d (due_at, id, message)
 WHERE r.due_at = d.due_at AND r.id = d.id AND r.state = 'skipped' AND r.skip_reason = 'condition_failed'

-- name: recall
-- What timers remember under a name.
SELECT value FROM timer_memory WHERE name = $1

-- name: remember
INSERT INTO timer_memory (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp()

-- name: zoned
-- Active schedules that are still to come and have a zone, after ($1, $2), locked; at most $3.
SELECT tenant, name, (definition - '{name,description,streams,notify,callback_url}'::text[])::text AS shape,
       calendars::text AS calendars, next_at, clock_timestamp() AS now
  FROM schedule
 WHERE state = 'active' AND next_at > (SELECT clock_timestamp()) AND definition ->> 'timezone' <> 'UTC' AND (tenant, name) > ($1, $2)
 ORDER BY tenant, name LIMIT $3 FOR UPDATE

-- name: set_next
UPDATE schedule SET next_at = $3 WHERE tenant = $1 AND name = $2

-- name: lock_zones
-- Only one timer computes anew at a time; false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.zones'))

-- name: now
SELECT clock_timestamp()

-- name: delete
DELETE FROM schedule WHERE tenant = $1 AND name = $2

-- name: with_streams
-- Schedules of one of these streams (source.stream).
SELECT name, definition FROM schedule WHERE tenant = $1 AND definition -> 'streams' ?| $2::text[] ORDER BY name

-- name: after
-- Schedules that start after the one of this name.
SELECT name, definition FROM schedule
 WHERE tenant = $1 AND name <> $2
   AND (definition -> 'after' -> 'schedules' ? $2 OR definition -> 'after' -> 'any_of' ? $2 OR definition -> 'after' -> 'all_of' ? $2)
 ORDER BY name
