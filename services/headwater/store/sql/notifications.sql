-- name: rules
-- Rules in force of these tenants.
SELECT tenant, name, definition FROM notification_rule WHERE tenant = ANY($1::text[]) AND enabled ORDER BY tenant, name

-- name: stops
-- Targets of these tenants that said that they are gone.
SELECT tenant, target FROM notification_stop WHERE tenant = ANY($1::text[])

-- name: schedules
-- Who is to be told by these schedules' own wish, their streams, and the private ranges that their sources may reach.
SELECT s.tenant, s.name, s.definition -> 'notify' AS notify, s.definition ->> 'callback_url' AS callback_url,
       s.definition -> 'streams' AS streams, reach.ranges
  FROM schedule s LEFT JOIN LATERAL (
       SELECT jsonb_agg(DISTINCT a.range) AS ranges
         FROM jsonb_array_elements_text(s.definition -> 'streams') AS t (stream)
         JOIN source c ON c.tenant = s.tenant AND c.name = split_part(t.stream, '.', 1)
         CROSS JOIN LATERAL jsonb_array_elements_text(c.definition #> '{network,allow}') AS a (range)
        WHERE s.definition ->> 'callback_url' IS NOT NULL AND jsonb_typeof(c.definition #> '{network,allow}') = 'array') AS reach ON true
 WHERE (s.tenant, s.name) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: named
-- Rules that schedules of these tenants name: those have an owner.
SELECT DISTINCT s.tenant, n.name FROM schedule s CROSS JOIN LATERAL notified_by(s.definition -> 'notify') AS n
 WHERE s.tenant = ANY($1::text[]) AND (s.definition ->> 'callback_url' IS NOT NULL OR s.definition -> 'notify' <> '[]'::jsonb)

-- name: with_secret
SELECT tenant FROM secret WHERE tenant = ANY($1::text[]) AND name = $2

-- name: earlier_ends
-- How the last runs of a stream ended before one: of its schedule where there is one ($6), else of any. Newest first.
SELECT state, finished_at FROM run
 WHERE tenant = $1 AND source = $2 AND stream = $3 AND due_at <= $4 AND id <> $5
   AND ($6::text IS NULL OR schedule = $6) AND state IN ('succeeded', 'partial', 'failed')
 ORDER BY due_at DESC, finished_at DESC LIMIT 100

-- name: insert
-- Notifications that are to be sent; those that are there already stay as they are. How many are new.
WITH made AS (
    INSERT INTO notification (id, created_at, tenant, rule, event, schedule, stream, endpoint, run_id, kind, target, address,
                              definition, content, next_at)
    SELECT n.id, n.created_at, n.tenant, n.rule, n.event, n.schedule, n.stream, n.endpoint, n.run_id, n.kind, n.target,
           n.address, n.definition::jsonb, n.content::jsonb, clock_timestamp()
      FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                  $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
           AS n (id, created_at, tenant, rule, event, schedule, stream, endpoint, run_id, kind, target, address, definition, content)
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT count(*) FROM made

-- name: claim
-- Due notifications, at most $1 and $2 of one target; none of the targets $3 (tenant/target), which are at their limit.
-- Each is taken for $4 seconds: who does not tell by then is taken to be dead, and the next one sends it again.
WITH due AS (
    SELECT created_at, id, tenant, target FROM notification
     WHERE state = 'waiting' AND next_at <= (SELECT clock_timestamp()) AND tenant || '/' || target <> ALL ($3::text[])
     ORDER BY next_at LIMIT 500
), fair AS (
    SELECT created_at, id FROM (
        SELECT created_at, id, row_number() OVER (PARTITION BY tenant, target ORDER BY created_at, id) AS turn,
               row_number() OVER (PARTITION BY tenant ORDER BY created_at, id) AS turn_of_tenant FROM due
    ) AS turns WHERE turn <= $2 ORDER BY turn_of_tenant, created_at LIMIT $1
), locked AS (
    SELECT n.created_at, n.id FROM notification n JOIN fair f ON n.created_at = f.created_at AND n.id = f.id
     WHERE n.state = 'waiting' AND n.next_at <= (SELECT clock_timestamp()) FOR UPDATE OF n SKIP LOCKED
)
UPDATE notification n SET next_at = clock_timestamp() + make_interval(secs => $4), attempt_count = n.attempt_count + 1,
                          try_count = n.try_count + 1
  FROM locked l WHERE n.created_at = l.created_at AND n.id = l.id
RETURNING n.*

-- name: next_due_s
-- Seconds until the next notification is due; null when none waits.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 FROM notification WHERE state = 'waiting'

-- name: record_attempt
INSERT INTO notification_attempt (notification_id, created_at, number, tenant, begun_at, duration_s, outcome, status, error, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING

-- name: settle
-- The end of a notification ($3: sent, dead), or its next attempt in $4 seconds. Only for the attempt that is under way.
UPDATE notification SET state = $3, last_error = $5, settled_at = CASE WHEN $3 <> 'waiting' THEN clock_timestamp() END,
                        next_at = CASE WHEN $3 = 'waiting' THEN clock_timestamp() + make_interval(secs => $4) END
 WHERE created_at = $1 AND id = $2 AND state = 'waiting' AND attempt_count = $6
RETURNING id

-- name: give_back
-- An attempt that our own trouble cut short is none.
UPDATE notification SET next_at = clock_timestamp() + make_interval(secs => $3), attempt_count = attempt_count - 1,
                        try_count = try_count - 1
 WHERE created_at = $1 AND id = $2 AND state = 'waiting' AND attempt_count = $4

-- name: stop
-- The target is gone: nothing more goes there, and what waits for it never will.
INSERT INTO notification_stop (tenant, target, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: end_waiting
UPDATE notification SET state = 'dead', last_error = $3, settled_at = clock_timestamp(), next_at = NULL
 WHERE tenant = $1 AND target = $2 AND state = 'waiting'

-- name: unplanned
-- What happened and was not looked at yet, locked; other notifiers skip it. At most $1.
SELECT id, tenant, event, subject_kind, subject, at, detail FROM happening
 WHERE planned_at IS NULL ORDER BY at, id LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: mark_planned
UPDATE happening SET planned_at = clock_timestamp() WHERE id = ANY($1::uuid[])

-- name: happened
-- Something happened; false when it is known.
INSERT INTO happening (id, tenant, event, subject_kind, subject, detail)
SELECT $1, $2, $3, $4, $5, $6 FROM tenant WHERE name = $2
ON CONFLICT DO NOTHING RETURNING id

-- name: sweep_happenings
DELETE FROM happening WHERE planned_at < (SELECT clock_timestamp()) - make_interval(days => $1)

-- name: lock_look
-- Only one notifier looks for what is late or silent ($1); false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.' || $1))

-- name: late_limits
-- The times that rules about late runs chose, by tenant; null: by habit.
SELECT tenant, (definition ->> 'late_after_s')::int AS late_after_s FROM notification_rule
 WHERE enabled AND definition -> 'events' ? 'late'
UNION
SELECT tenant, NULL FROM schedule
 WHERE definition ->> 'callback_url' IS NOT NULL OR definition -> 'notify' <> '[]'::jsonb

-- name: wanting_silence
-- Tenants in which somebody wants to hear of schedules that had no success for long.
SELECT tenant FROM notification_rule WHERE enabled AND definition -> 'events' ? 'silence'
UNION
SELECT tenant FROM schedule
 WHERE definition ->> 'callback_url' IS NOT NULL OR definition -> 'notify' <> '[]'::jsonb

-- name: open_runs
-- Runs of these tenants that are not final a while after they were due or made, without backfills, with the longest time
-- that one of their last 20 good runs took.
SELECT r.id, r.tenant, r.source, r.stream, r.schedule, r.state, r.due_at, r.waits_for, r.parked_until, r.started_at,
       extract(epoch FROM clock_timestamp() - greatest(r.due_at, r.created_at))::float8 AS age_s, habit.longest_s, habit.run_count
  FROM (SELECT * FROM run WHERE admitted_at IS NOT NULL AND state IN ('queued', 'running') AND tenant = ANY($1::text[])
         UNION ALL
        SELECT * FROM run WHERE admitted_at IS NULL AND state = 'queued' AND tenant = ANY($1::text[])) AS r
 CROSS JOIN LATERAL (
       SELECT max(extract(epoch FROM finished_at - greatest(due_at, created_at)))::float8 AS longest_s, count(*) AS run_count
         FROM (SELECT finished_at, due_at, created_at FROM run p
                WHERE p.tenant = r.tenant AND p.source = r.source AND p.stream = r.stream AND p.due_at < r.due_at
                  AND p.schedule IS NOT DISTINCT FROM r.schedule AND p.state IN ('succeeded', 'partial')
                ORDER BY p.due_at DESC LIMIT 20) AS good) AS habit
 WHERE r.priority < 2 AND greatest(r.due_at, r.created_at) < (SELECT clock_timestamp()) - make_interval(secs => $2)
 ORDER BY r.due_at LIMIT 1000

-- name: unfired
-- Schedules of these tenants that were due $2 seconds ago and were not fired.
SELECT tenant, name, next_at FROM schedule
 WHERE state = 'active' AND next_at < (SELECT clock_timestamp()) - make_interval(secs => $2) AND tenant = ANY($1::text[])
 ORDER BY next_at LIMIT 1000

-- name: put_rule
INSERT INTO notification_rule (tenant, name, definition, enabled) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, enabled = excluded.enabled, updated_at = clock_timestamp()
 WHERE (notification_rule.definition, notification_rule.enabled) IS DISTINCT FROM (excluded.definition, excluded.enabled)

-- name: delete_rule
DELETE FROM notification_rule WHERE tenant = $1 AND name = $2 RETURNING name

-- name: list_rules
-- By name, after $2; at most $3. With how many waited and died of late.
SELECT r.name, r.definition, r.enabled, r.created_at, r.updated_at,
       (SELECT jsonb_agg(jsonb_build_object('target', s.target, 'reason', s.reason, 'stopped_at', s.stopped_at) ORDER BY s.target)
          FROM notification_stop s WHERE s.tenant = r.tenant AND starts_with(s.target, r.name || '/')) AS stops
  FROM notification_rule r WHERE r.tenant = $1 AND ($2::text IS NULL OR r.name > $2) ORDER BY r.name LIMIT $3

-- name: rule_names
SELECT name FROM notification_rule WHERE tenant = $1 ORDER BY name

-- name: get_rule
SELECT r.name, r.definition, r.enabled, r.created_at, r.updated_at,
       (SELECT jsonb_agg(jsonb_build_object('target', s.target, 'reason', s.reason, 'stopped_at', s.stopped_at) ORDER BY s.target)
          FROM notification_stop s WHERE s.tenant = r.tenant AND starts_with(s.target, r.name || '/')) AS stops
  FROM notification_rule r WHERE r.tenant = $1 AND r.name = $2

-- name: forget_stops
-- Targets of a rule are told again.
DELETE FROM notification_stop WHERE tenant = $1 AND starts_with(target, $2 || '/')

-- name: users
-- Schedules that name a rule.
SELECT s.name FROM schedule s
 WHERE s.tenant = $1 AND (s.definition ->> 'callback_url' IS NOT NULL OR s.definition -> 'notify' <> '[]'::jsonb)
   AND EXISTS (SELECT 1 FROM notified_by(s.definition -> 'notify') AS n WHERE n.name = $2)
 ORDER BY s.name LIMIT 20

-- name: list
-- Notifications of the tenant, newest first; each filter is null or applies; after ($7, $8).
SELECT id, created_at, rule, event, schedule, stream, endpoint, run_id, kind, address, state, attempt_count, next_at,
       last_error, settled_at, content ->> 'subject' AS subject
  FROM notification
 WHERE tenant = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR rule = $3) AND ($4::text IS NULL OR event = $4)
   AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)
   AND ($7::timestamptz IS NULL OR (created_at, id) < ($7, $8::uuid))
   AND ($9::text IS NULL OR schedule = $9) AND ($10::uuid IS NULL OR run_id = $10)
 ORDER BY created_at DESC, id DESC LIMIT $11

-- name: get
SELECT id, created_at, rule, event, schedule, stream, endpoint, run_id, kind, address, state, attempt_count, next_at,
       last_error, settled_at, content ->> 'subject' AS subject, content, definition
  FROM notification WHERE tenant = $1 AND created_at = $2 AND id = $3

-- name: attempts
SELECT number, begun_at, duration_s, outcome, status, error, answer FROM notification_attempt
 WHERE created_at = $1 AND notification_id = $2 ORDER BY number

-- name: redeliver
-- Let it go again, under its own id; what is still under way stays as it is.
UPDATE notification SET state = 'waiting', try_count = 0, next_at = clock_timestamp(), settled_at = NULL
 WHERE tenant = $1 AND created_at = $2 AND id = $3 AND (state <> 'waiting' OR next_at > clock_timestamp() + interval '120 seconds')
RETURNING id

-- name: count_waiting
-- How many wait over all tenants, and how many died in the last day.
SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting, count(*) FILTER (WHERE state = 'dead' AND settled_at > clock_timestamp() - interval '1 day') AS dead
  FROM notification WHERE created_at > clock_timestamp() - interval '9 days'
