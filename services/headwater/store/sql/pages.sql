-- name: begin
-- The page ledger before fetches: begins each page if its run still wants it, and tells what is known of it and of what
-- its source allows. By page $1 run_at, $2 run_id, $3 attempt, $4 walk, $5 number, $6 tenant, $7 digest of the page's
-- token, $8 who begins it, $9 the page that he comes from (else null): when that is another's by now, nothing begins.
-- $10 and $11 are the first and last run_at: other days' partitions are left out before the statement runs.
-- No page is named twice. Nobody waits for the disk: what a crash of the database forgets begins again.
WITH asked AS (
    SELECT d.*, r.state, r.attempt AS run_attempt, r.started_at, r.parked_until, r.tenant AS run_tenant, r.source,
           coalesce((SELECT b.holder <> d.holder FROM page b
                      WHERE b.run_at = d.run_at AND b.run_id = d.run_id AND b.attempt = d.attempt
                        AND b.walk = d.walk AND b.number = d.after AND b.run_at BETWEEN $10 AND $11), false) AS is_lost
      FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::text[], $7::bytea[], $8::uuid[],
                  $9::int[]) AS d (run_at, run_id, attempt, walk, number, tenant, token_digest, holder, after)
     CROSS JOIN LATERAL (
           SELECT state, attempt, started_at, parked_until, tenant, source FROM run
            WHERE due_at = d.run_at AND id = d.run_id AND due_at BETWEEN $10 AND $11 LIMIT 1) AS r
), begun AS (
    INSERT INTO page (run_at, run_id, attempt, walk, number, tenant, token_digest, holder)
    SELECT run_at, run_id, attempt, walk, number, tenant, token_digest, holder
      FROM asked WHERE state = 'running' AND attempt = run_attempt AND NOT is_lost
     ORDER BY run_id, attempt, walk, number
    ON CONFLICT DO NOTHING RETURNING run_id, attempt, walk, number
)
SELECT a.run_id, a.attempt, a.walk, a.number, a.is_lost, a.state, a.run_attempt, a.started_at,
       a.parked_until IS NOT NULL AS is_parked, b.number IS NOT NULL AS is_new,
       b.number IS NOT NULL OR p.token_digest = a.token_digest AS is_ours,
       p.settled_at IS NOT NULL AS is_settled, p.next_token, p.has_slot, p.refused_count,
       extract(epoch FROM p.not_before - clock_timestamp())::float8 AS wait_s,
       extract(epoch FROM clock_timestamp() - p.refused_at)::float8 AS refused_s,
       w.last_number, w.settled_count,
       s.definition -> 'rate_limit' AS rate_limit,
       extract(epoch FROM l.paused_until - clock_timestamp())::float8 AS pause_s,
       (SELECT o.number FROM page o
         WHERE o.run_at = a.run_at AND o.run_id = a.run_id AND o.attempt = a.attempt AND o.walk = a.walk
           AND o.token_digest = a.token_digest AND o.number < a.number AND o.run_at BETWEEN $10 AND $11) AS same_token_as
  FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
 CROSS JOIN asked a
  LEFT JOIN begun b ON (b.run_id, b.attempt, b.walk, b.number) = (a.run_id, a.attempt, a.walk, a.number)
  LEFT JOIN LATERAL (
       SELECT token_digest, settled_at, next_token, has_slot, refused_count, not_before, refused_at FROM page
        WHERE run_at = a.run_at AND run_id = a.run_id AND attempt = a.attempt AND walk = a.walk AND number = a.number
          AND run_at BETWEEN $10 AND $11 LIMIT 1) AS p ON true
  LEFT JOIN LATERAL (
       SELECT last_number, settled_count FROM walk
        WHERE run_at = a.run_at AND run_id = a.run_id AND attempt = a.attempt AND number = a.walk
          AND run_at BETWEEN $10 AND $11 LIMIT 1) AS w ON true
  LEFT JOIN LATERAL (SELECT definition FROM source WHERE tenant = a.run_tenant AND name = a.source LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT paused_until FROM rate_limit WHERE tenant = a.run_tenant AND key = a.source LIMIT 1) AS l
    ON true

-- name: begin_again
-- Pages that a crash of the database forgot after they were fetched: they begin when their records come, if their run
-- still runs. As `begin`, without a holder: whoever goes on with the walk takes it from there.
INSERT INTO page (run_at, run_id, attempt, walk, number, tenant, token_digest)
SELECT d.run_at, d.run_id, d.attempt, d.walk, d.number, r.tenant, d.token_digest
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::bytea[])
       AS d (run_at, run_id, attempt, walk, number, token_digest)
 CROSS JOIN LATERAL (SELECT state, attempt, tenant FROM run WHERE due_at = d.run_at AND id = d.run_id LIMIT 1) AS r
 WHERE r.state = 'running' AND r.attempt = d.attempt
   AND (SELECT true FROM walk w WHERE w.run_at = d.run_at AND w.run_id = d.run_id AND w.attempt = d.attempt
                                  AND w.number = d.walk)
 ORDER BY d.run_id, d.attempt, d.walk, d.number
ON CONFLICT DO NOTHING

-- name: rivals
-- A page that was begun under another token, and what its predecessor names, where that is settled.
SELECT p.token_digest, b.settled_at IS NOT NULL AS is_decided, b.next_digest
  FROM (SELECT 1) AS one
  LEFT JOIN page p ON p.run_at = $1 AND p.run_id = $2 AND p.attempt = $3 AND p.walk = $4 AND p.number = $5
  LEFT JOIN page b ON b.run_at = $1 AND b.run_id = $2 AND b.attempt = $3 AND b.walk = $4 AND b.number = $5 - 1

-- name: forget_after
-- Pages that follow from what is no longer page $5 of the walk: their tokens are free for others, and no batch fits them.
UPDATE page SET token_digest = sha256(token_digest)
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number > $5 AND settled_at IS NULL

-- name: take_over
-- The page under the token that its predecessor names; nothing when it is settled, or the token is another page's.
INSERT INTO page AS p (run_at, run_id, attempt, walk, number, tenant, token_digest, holder)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
 WHERE NOT EXISTS (SELECT 1 FROM page o WHERE o.run_at = $1 AND o.run_id = $2 AND o.attempt = $3 AND o.walk = $4
                      AND o.token_digest = $7 AND o.number <> $5)
ON CONFLICT (run_at, run_id, attempt, walk, number) DO UPDATE
   SET token_digest = excluded.token_digest, holder = excluded.holder, not_before = NULL, has_slot = false
 WHERE p.settled_at IS NULL
RETURNING number

-- name: begun_of
-- Which of these pages of a walk have begun: their messages are known to have arrived.
SELECT number FROM page WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number = ANY($5::int[])

-- name: open_before
SELECT EXISTS (SELECT 1 FROM page WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number < $5
                                    AND settled_at IS NULL)
   AND EXISTS (SELECT 1 FROM run WHERE due_at = $1 AND id = $2 AND state = 'running' AND attempt = $3)

-- name: settled_end
-- Where the settled pages end that follow page $5 of a walk, each $6 numbers behind the one before.
SELECT p.number, p.next_token FROM page p
 WHERE p.run_at = $1 AND p.run_id = $2 AND p.attempt = $3 AND p.walk = $4 AND p.number >= $5 AND (p.number - $5) % $6 = 0
   AND p.settled_at IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM page q WHERE q.run_at = $1 AND q.run_id = $2 AND q.attempt = $3 AND q.walk = $4
                      AND q.number = p.number + $6 AND q.settled_at IS NOT NULL)
 ORDER BY p.number LIMIT 1

-- name: take_in_hand
-- Page $5 of a walk and those that follow it, each $6 numbers behind the one before, are $7's: whoever went on there
-- before goes no further. Locked in the order that all loaders keep.
WITH taken AS (
    SELECT number FROM page
     WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number >= $5 AND (number - $5) % $6 = 0
     ORDER BY number FOR UPDATE
)
UPDATE page p SET holder = $7 FROM taken
 WHERE p.run_at = $1 AND p.run_id = $2 AND p.attempt = $3 AND p.walk = $4 AND p.number = taken.number

-- name: wait
-- The page waits $6 seconds: for the slot it has in the rate limit ($7), or because its API put it off ($8).
UPDATE page SET not_before = clock_timestamp() + make_interval(secs => $6), has_slot = $7,
                refused_at = CASE WHEN $8 THEN coalesce(refused_at, clock_timestamp()) ELSE refused_at END,
                refused_count = refused_count + CASE WHEN $8 THEN 1 ELSE 0 END
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number = $5

-- name: lock
-- The pages of a batch, locked one after the other as they are given: in the one order that all loaders keep; and how
-- their runs are. Passed over is one that is settled, that lies beyond the end of its walk, or that was begun under
-- another token than that of the batch ($6). $7 and $8 are the first and last run_at: other days' partitions are left
-- out before the statement runs.
SELECT d.run_id, d.attempt, d.walk, d.number, r.state, r.attempt AS run_attempt, r.mode,
       p.is_settled OR p.token_digest <> d.token_digest
           OR EXISTS (SELECT 1 FROM walk w
                       WHERE w.run_at = d.run_at AND w.run_id = d.run_id AND w.attempt = d.attempt
                         AND w.number = d.walk AND w.last_number < d.number AND w.run_at BETWEEN $7 AND $8) AS is_passed
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::bytea[])
       AS d (run_at, run_id, attempt, walk, number, token_digest)
 CROSS JOIN LATERAL (
       SELECT settled_at IS NOT NULL AS is_settled, token_digest FROM page
        WHERE run_at = d.run_at AND run_id = d.run_id AND attempt = d.attempt AND walk = d.walk AND number = d.number
          AND run_at BETWEEN $7 AND $8
          FOR UPDATE) AS p
 CROSS JOIN LATERAL (SELECT state, attempt, mode FROM run
                      WHERE due_at = d.run_at AND id = d.run_id AND due_at BETWEEN $7 AND $8 LIMIT 1) AS r

-- name: behind
-- Those of the pages whose predecessor is not settled, of attempts that still run, and of walks that have not ended before
-- them. $6 and $7 as in `lock`.
SELECT d.run_id, d.attempt, d.walk, d.number
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::int[], $5::int[]) AS d (run_at, run_id, attempt, walk, number)
 WHERE d.number > 1
   AND EXISTS (SELECT 1 FROM run r WHERE r.due_at = d.run_at AND r.id = d.run_id AND r.state = 'running'
                                     AND r.attempt = d.attempt AND r.due_at BETWEEN $6 AND $7)
   AND NOT EXISTS (SELECT 1 FROM page p
                    WHERE p.run_at = d.run_at AND p.run_id = d.run_id AND p.attempt = d.attempt AND p.walk = d.walk
                      AND p.number = d.number - 1 AND p.settled_at IS NOT NULL AND p.run_at BETWEEN $6 AND $7)
   AND NOT EXISTS (SELECT 1 FROM walk w
                    WHERE w.run_at = d.run_at AND w.run_id = d.run_id AND w.attempt = d.attempt AND w.number = d.walk
                      AND w.last_number < d.number AND w.run_at BETWEEN $6 AND $7)

-- name: settle
-- The page's records are in the table, in this transaction.
UPDATE page SET settled_at = clock_timestamp(), next_token = $6, next_digest = $7, stop_reason = $8, status = $9,
                body_bytes = $10, received = $11, rejected = $12, content_digest = $13
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number = $5

-- name: count_late
-- Records of pages (locked) that their run takes no more: $3 attempts, $4 walks, $5 numbers, $6 how many. A page that is
-- noted already counts no second time, however often its message comes.
WITH fresh AS (
    UPDATE page p SET received = d.received
      FROM unnest($3::int[], $4::int[], $5::int[], $6::int[]) AS d (attempt, walk, number, received)
     WHERE p.run_at = $1 AND p.run_id = $2 AND p.attempt = d.attempt AND p.walk = d.walk AND p.number = d.number
       AND p.settled_at IS NULL AND p.received IS NULL
    RETURNING p.received
)
UPDATE run SET late = late + f.total FROM (SELECT sum(received) AS total FROM fresh) AS f
 WHERE due_at = $1 AND id = $2 AND f.total > 0

-- name: advance_walk
-- $5 pages settled, $6 records, $7 the last page's number when this batch found the end (else null), $8 its reason,
-- $9 and $10 the highest cursor values, $11 where the next run goes on after a limit, $12 the warning that it brought less
-- than there is. Gives the last page's number.
UPDATE walk SET settled_count = settled_count + $5, record_count = record_count + $6,
                last_number = least(last_number, $7),
                stop_reason = CASE WHEN $7::int IS NOT NULL AND (last_number IS NULL OR $7 < last_number) THEN $8
                                   ELSE stop_reason END,
                resume = CASE WHEN $7::int IS NOT NULL AND (last_number IS NULL OR $7 < last_number) THEN $11 ELSE resume END,
                highest = coalesce($9, highest), below = coalesce($10, below), shortfall = coalesce(shortfall, $12)
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = $4
RETURNING last_number

-- name: has_settled_from
-- Whether a page from this number on is in its table.
SELECT EXISTS (SELECT 1 FROM page WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND walk = $4 AND number >= $5
                                    AND settled_at IS NOT NULL)

-- name: same_content
-- Settled pages whose records are those of other pages of their walk: digests by walk, and where the API itself said
-- that the page is its last. $6 and $7 are the first and last run_at.
SELECT d.run_id, d.attempt, d.walk, p.number, d.content_digest, p.stop_reason
  FROM unnest($1::timestamptz[], $2::uuid[], $3::int[], $4::int[], $5::bytea[])
       AS d (run_at, run_id, attempt, walk, content_digest)
 CROSS JOIN LATERAL (
       SELECT number, stop_reason FROM page
        WHERE run_at = d.run_at AND run_id = d.run_id AND attempt = d.attempt AND walk = d.walk
          AND content_digest = d.content_digest AND settled_at IS NOT NULL AND run_at BETWEEN $6 AND $7 OFFSET 0) AS p

-- name: hold_contents
-- Wait for other loads of the same records, whose numbers $1 are, rising; each holds its own until its end.
SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS number

-- name: lock_walk
SELECT highest, below FROM walk WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND number = $4 FOR UPDATE

-- name: advance_run
-- Last of a load: only a run that still runs takes it; no row means that the load must be undone.
UPDATE run SET pages = pages + $4, requests = requests + $5, received = received + $6, inserted = inserted + $7,
               updated = updated + $8, unchanged = unchanged + $9, rejected = rejected + $10,
               warnings = ARRAY(SELECT DISTINCT w FROM unnest(warnings || $11::text[]) AS w ORDER BY w),
               progress_at = clock_timestamp()
 WHERE due_at = $1 AND id = $2 AND attempt = $3 AND state = 'running'
RETURNING id

-- name: is_complete
-- Whether every walk of the attempt has settled every page up to its last.
SELECT CASE WHEN EXISTS (SELECT 1 FROM walk w
                          WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3 AND w.last_number IS NULL)
       THEN false ELSE (SELECT count(*) > 0 AND bool_and(
           w.last_number IS NOT NULL AND w.settled_count >= w.last_number AND w.last_number = (
               SELECT count(*) FROM page p
                WHERE p.run_at = w.run_at AND p.run_id = w.run_id AND p.attempt = w.attempt AND p.walk = w.number
                  AND p.settled_at IS NOT NULL AND p.number <= w.last_number))
  FROM walk w WHERE w.run_at = $1 AND w.run_id = $2 AND w.attempt = $3) END

-- name: walks
-- The walks of an attempt, for closing.
SELECT number, first_token, last_number, stop_reason, highest, below, resume FROM walk
 WHERE run_at = $1 AND run_id = $2 AND attempt = $3 ORDER BY number

-- name: planned_alike
-- Whether pages of one walk that were asked for in any order hold the very same records.
SELECT EXISTS (SELECT 1 FROM page
                WHERE run_at = $1 AND run_id = $2 AND attempt = $3 AND content_digest IS NOT NULL AND settled_at IS NOT NULL
                GROUP BY walk, content_digest HAVING count(*) > 1)

-- name: chain_breaks
-- Pages whose token is not what their predecessor announced, and pages beyond the end that brought records. The pages are
-- read once, in order.
SELECT c.walk, c.number
  FROM (SELECT run_at, run_id, attempt, walk, number, token_digest,
               lag(number) OVER in_order AS before, lag(next_digest) OVER in_order AS announced
          FROM page WHERE run_at = $1 AND run_id = $2 AND attempt = $3
        WINDOW in_order AS (PARTITION BY walk ORDER BY number)) AS c
  JOIN walk w ON w.run_at = c.run_at AND w.run_id = c.run_id AND w.attempt = c.attempt AND w.number = c.walk
 WHERE c.before = c.number - 1 AND c.announced IS DISTINCT FROM c.token_digest AND c.number <= w.last_number
UNION ALL
SELECT p.walk, p.number FROM page p
  JOIN walk w ON w.run_at = p.run_at AND w.run_id = p.run_id AND w.attempt = p.attempt AND w.number = p.walk
 WHERE p.run_at = $1 AND p.run_id = $2 AND p.attempt = $3 AND p.number > w.last_number
   AND p.settled_at IS NOT NULL AND p.received > 0
   AND NOT EXISTS (SELECT 1 FROM page o  -- what repeats an earlier page was not loaded
                    WHERE o.run_at = p.run_at AND o.run_id = p.run_id AND o.attempt = p.attempt AND o.walk = p.walk
                      AND o.number <= w.last_number AND o.content_digest = p.content_digest)
 LIMIT 1

-- name: reject_record
INSERT INTO rejected_record (run_at, run_id, attempt, walk, page, position, tenant, reason, record)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, left($9, 65536)) ON CONFLICT DO NOTHING

-- name: list
-- The pages of a run's attempts, in order.
SELECT attempt, walk, number, status, received, rejected, body_bytes, stop_reason, begun_at, settled_at
  FROM page WHERE run_at = $1 AND run_id = $2 ORDER BY attempt, walk, number LIMIT $3 OFFSET $4

-- name: first_load
-- True for the first load of this run and attempt: $6 the table.
INSERT INTO append_residue (run_id, attempt, tenant, source, stream, table_name)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true

-- name: note_residue
-- That this attempt loads into table $7 of another database: noted before its first row, while it runs ($1: its partition).
INSERT INTO append_residue (run_id, attempt, tenant, source, stream, table_name)
SELECT r.id, $3, $4, $5, $6, $7
  FROM run r
 WHERE r.due_at = $1 AND r.id = $2 AND r.attempt = $3 AND r.state = 'running'
   AND NOT EXISTS (SELECT FROM append_residue a WHERE (a.run_id, a.attempt, a.table_name) = ($2, $3, $7))
   FOR SHARE OF r
ON CONFLICT DO NOTHING

-- name: take_residue
-- What earlier runs and attempts of the stream left unfinished in headwater's own tables and in table $6: forgotten here,
-- removed by the caller. Other databases' tables (with a `/`) are not at hand: theirs stays noted. What a run loads that
-- goes on beside this one stays; the time in its id names its partition.
DELETE FROM append_residue a WHERE (tenant, source, stream) = ($1, $2, $3) AND NOT (run_id = $4 AND attempt = $5)
   AND (table_name = $6 OR position('/' IN table_name) = 0)
   AND NOT EXISTS (
       SELECT 1 FROM run r
        WHERE r.due_at = timestamptz 'epoch' + ('x' || left(replace(a.run_id::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond'
          AND r.id = a.run_id AND r.attempt = a.attempt AND r.state = 'running')
RETURNING run_id, table_name

-- name: take_since
-- The same of what partial runs appended since the cursor last moved, where this attempt begins at it again: it does not
-- go on where a limit cut one, and is for no window of time. $7: its partition.
DELETE FROM append_since a USING run r, walk w
 WHERE (a.tenant, a.source, a.stream) = ($1, $2, $3) AND (a.table_name = $6 OR position('/' IN a.table_name) = 0)
   AND r.due_at = $7 AND r.id = $4 AND r.time_window IS NULL
   AND w.run_at = $7 AND w.run_id = $4 AND w.attempt = $5 AND w.number = 0
   AND coalesce((w.first_token -> 'progress' ->> 'number')::int, 0) = 0 AND NOT w.first_token ? 'edge'
RETURNING a.run_id, a.table_name

-- name: keep_since
-- The run was partial, and the cursor stays: what it appended is noted for the run that begins there again. $5: the
-- cursor's version when the run read it.
INSERT INTO append_since (run_id, attempt, tenant, source, stream, table_name)
SELECT run_id, attempt, tenant, source, stream, table_name FROM append_residue
 WHERE run_id = $1
   AND coalesce((SELECT version FROM stream_cursor WHERE (tenant, source, stream) = ($2, $3, $4)), 0) = $5::bigint
ON CONFLICT DO NOTHING

-- name: clear_residue
-- The run closed well: its appended rows stay.
DELETE FROM append_residue WHERE run_id = $1
