-- name: lock
-- Only one looks at a time; false when another one does.
SELECT pg_try_advisory_xact_lock(hashtext('headwater.alarms'))

-- name: silences
-- Endpoints that are watched for silence: since when they are quiet, and for how long they may be. With `auto` that is
-- three times the longest quiet time of the last 14 days and 15 minutes at least, once there is a habit (5 slots). While
-- the alarm is on that limit stays: of an endpoint that is quiet for weeks no habit is left.
WITH watched AS (
    SELECT tenant, name, created_at, coalesce(definition #>> '{alarms,silence_s}', 'auto') AS silence
      FROM endpoint WHERE enabled AND coalesce(definition #>> '{alarms,silence_s}', 'auto') <> 'off'
), heard AS (
    SELECT c.tenant, c.endpoint, c.last_at,
           extract(epoch FROM c.last_at - lag(c.last_at) OVER (PARTITION BY c.tenant, c.endpoint ORDER BY c.slot)) AS gap_s
      FROM endpoint_count c
     WHERE c.outcome = 'accepted' AND c.slot > clock_timestamp() - interval '14 days'
), habits AS (
    SELECT tenant, endpoint, max(last_at) AS last_at, count(*) AS slot_count, coalesce(max(gap_s), 0) AS gap_s
      FROM heard GROUP BY tenant, endpoint
), limits AS (
    SELECT w.tenant, w.name, coalesce(h.last_at, (a.detail ->> 'quiet_since')::timestamptz, w.created_at) AS quiet_since,
           CASE WHEN w.silence <> 'auto' THEN w.silence::float8
                WHEN a.detail IS NOT NULL THEN (a.detail ->> 'limit_s')::float8
                WHEN h.slot_count >= 5 THEN greatest(900, 3 * h.gap_s)::float8 END AS limit_s
      FROM watched w
      LEFT JOIN habits h ON h.tenant = w.tenant AND h.endpoint = w.name
      LEFT JOIN endpoint_alarm a ON a.tenant = w.tenant AND a.endpoint = w.name AND a.kind = 'silence'
)
SELECT tenant, name, quiet_since, limit_s FROM limits
 WHERE limit_s IS NOT NULL AND quiet_since < clock_timestamp() - make_interval(secs => limit_s)

-- name: refusal_rates
-- Endpoints that refused more of the last 15 minutes' requests (20 at least) than they may.
SELECT e.tenant, e.name, r.request_count, r.refused_count, coalesce((e.definition #>> '{alarms,refusal_rate}')::float8, 0.5) AS limit_rate
  FROM endpoint e JOIN (
       SELECT tenant, endpoint, sum(request_count)::bigint AS request_count,
              coalesce(sum(request_count) FILTER (WHERE outcome LIKE 'refused:%'), 0)::bigint AS refused_count
         FROM endpoint_count
         WHERE slot > clock_timestamp() - interval '20 minutes' AND outcome <> 'spooled' GROUP BY tenant, endpoint
       ) AS r ON r.tenant = e.tenant AND r.endpoint = e.name
 WHERE e.enabled AND r.request_count >= 20
   AND (e.definition #> '{alarms,refusal_rate}' IS DISTINCT FROM 'null'::jsonb)
   AND r.refused_count >= r.request_count * coalesce((e.definition #>> '{alarms,refusal_rate}')::float8, 0.5)

-- name: current
SELECT tenant, endpoint, kind, since, detail FROM endpoint_alarm ORDER BY tenant, endpoint, kind

-- name: of_tenant
SELECT endpoint, kind, since, detail FROM endpoint_alarm WHERE tenant = $1 ORDER BY endpoint, kind

-- name: raise
INSERT INTO endpoint_alarm (tenant, endpoint, kind, since, detail)
SELECT $1, $2, $3, clock_timestamp(), $4 FROM tenant WHERE name = $1 ON CONFLICT DO NOTHING RETURNING since

-- name: clear
DELETE FROM endpoint_alarm WHERE tenant = $1 AND endpoint = $2 AND kind = $3 RETURNING since, clock_timestamp() AS cleared_at
