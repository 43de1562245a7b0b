-- name: take
-- GCRA: reserves a slot and gives 0 or the seconds to wait for it; a wait beyond $5 reserves nothing.
-- $1 tenant, $2 key, $3 seconds between requests, $4 burst, $5 longest wait that is reserved.
INSERT INTO rate_limit AS l (tenant, key, theoretical_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3::float8))
ON CONFLICT (tenant, key) DO UPDATE
   SET theoretical_at = greatest(l.theoretical_at, clock_timestamp()) + make_interval(secs => $3::float8)
 WHERE l.theoretical_at - make_interval(secs => $3::float8 * ($4::int - 1)) <= clock_timestamp() + make_interval(secs => $5::float8)
RETURNING extract(epoch FROM theoretical_at - make_interval(secs => $3::float8 * $4::int) - clock_timestamp())::float8

-- name: wait_s
-- Seconds until a slot is free.
SELECT extract(epoch FROM theoretical_at - make_interval(secs => $3::float8 * ($4::int - 1)) - clock_timestamp())::float8
  FROM rate_limit WHERE tenant = $1 AND key = $2

-- name: pause
-- The API asked for quiet: nothing before $3 seconds from now.
INSERT INTO rate_limit AS l (tenant, key, theoretical_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3::float8))
ON CONFLICT (tenant, key) DO UPDATE SET theoretical_at = greatest(l.theoretical_at, excluded.theoretical_at)

-- name: of_source
SELECT definition -> 'rate_limit' FROM source WHERE tenant = $1 AND name = $2

-- name: paused_s
SELECT extract(epoch FROM theoretical_at - clock_timestamp())::float8 FROM rate_limit WHERE tenant = $1 AND key = $2
