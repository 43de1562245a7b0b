-- name: runs
-- What became of the runs of tenant $1 (of schedule $2, where it is given) that were due from $3 on, up to $4.
SELECT count(*) AS total,
       count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'succeeded') AS succeeded, count(*) FILTER (WHERE state = 'partial') AS partial,
       count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE state = 'skipped') AS skipped,
       max(finished_at) FILTER (WHERE state = 'succeeded') AS last_success_at,
       max(finished_at) FILTER (WHERE state = 'failed') AS last_failure_at,
       avg(ran_s) AS avg_s, min(ran_s) AS min_s, max(ran_s) AS max_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ran_s) AS p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY ran_s) AS p95_s,
       avg(waited_s) AS waited_avg_s, percentile_cont(0.95) WITHIN GROUP (ORDER BY waited_s) AS waited_p95_s,
       sum(pages)::bigint AS pages, sum(requests)::bigint AS requests, sum(received)::bigint AS received,
       sum(inserted)::bigint AS inserted, sum(updated)::bigint AS updated, sum(unchanged)::bigint AS unchanged,
       sum(rejected)::bigint AS rejected, sum(deleted)::bigint AS deleted
  FROM (SELECT *, CASE WHEN state IN ('succeeded', 'partial', 'failed')
                       THEN extract(epoch FROM finished_at - started_at)::float8 END AS ran_s,
               extract(epoch FROM started_at - created_at)::float8 AS waited_s
          FROM run
         WHERE tenant = $1 AND ($2::text IS NULL OR schedule = $2)
           AND due_at >= $3 AND ($4::timestamptz IS NULL OR due_at < $4)) AS r

-- name: schedules
-- How many schedules of tenant $1 are in each state.
SELECT state, count(*) AS schedule_count FROM schedule WHERE tenant = $1 GROUP BY state

-- name: record
-- What is known of a schedule's runs since it is there.
SELECT s.state, s.next_at, r.total, r.succeeded, r.partial, r.failed, r.cancelled, r.skipped, r.consecutive_failures,
       r.last_success_at, r.last_failure_at
  FROM schedule s LEFT JOIN schedule_record r ON (r.tenant, r.schedule) = (s.tenant, s.name)
 WHERE s.tenant = $1 AND s.name = $2
