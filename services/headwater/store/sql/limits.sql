-- name: reserve
-- $1 tenant, $2 key, $3 seconds between requests of each limit, $4 how many of each may go at once, $5 what this
-- request counts, $6 longest wait that is reserved.
SELECT wait_s, is_reserved FROM reserve_slot($1, $2, $3, $4, $5, $6)

-- name: pause
-- The API asked for quiet: nothing before $3 seconds from now.
INSERT INTO rate_limit AS l (tenant, key, paused_until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (tenant, key) DO UPDATE SET paused_until = greatest(l.paused_until, excluded.paused_until)

-- name: lease
-- One of the $3 places for requests under way; no row when all are taken. $4 holder, $5 seconds of the lease.
INSERT INTO request_lease AS l (tenant, source, slot, holder, leased_until)
SELECT $1, $2, free.slot, $4, clock_timestamp() + make_interval(secs => $5)
  FROM (SELECT slot FROM generate_series(1, $3::int) AS slot
         WHERE NOT EXISTS (SELECT 1 FROM request_lease t
                            WHERE (t.tenant, t.source, t.slot) = ($1, $2, slot) AND t.leased_until > clock_timestamp())
         ORDER BY random() LIMIT 1) AS free
ON CONFLICT (tenant, source, slot) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
 WHERE l.leased_until <= clock_timestamp()
RETURNING slot

-- name: release
DELETE FROM request_lease WHERE tenant = $1 AND source = $2 AND slot = $3 AND holder = $4

-- name: renew
-- The next request in the same place.
UPDATE request_lease SET leased_until = clock_timestamp() + make_interval(secs => $5)
 WHERE tenant = $1 AND source = $2 AND slot = $3 AND holder = $4
