"""The SQL of the bus, each statement with what it is for. Schema: schemas/sql/0002_bus.sql."""

# Put messages into their queues and count them. Parallel arrays: queue, type, id, headers, attempt, user,
# body, size.
PUT = """
WITH put AS (
    INSERT INTO headwater_bus.message (queue, type, message_id, headers, attempt, user_id, body, size)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[],
    $7::bytea[], $8::integer[]) ) INSERT INTO headwater_bus.tally (queue, messages, bytes) SELECT queue,
    count(*), sum(size) FROM unnest($1::text[], $8::integer[]) AS counted (queue, size) GROUP BY queue
"""

# Take up to $2 messages of queue $1 that are due, for $3 seconds, under lease $4: the first, and those behind it that
# begin within $5 bytes. Other consumers skip them.
TAKE = """
WITH ripe AS (
    SELECT id, available_at, size FROM headwater_bus.message
     WHERE queue = $1 AND available_at <= now()
     ORDER BY available_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
), summed AS (
    SELECT id, sum(size) OVER (ORDER BY available_at, id) - size AS before FROM ripe
), due AS (
    SELECT id FROM summed WHERE before < $5
)
UPDATE headwater_bus.message AS message
   SET available_at = now() + make_interval(secs => $3), taken = message.taken + 1, lease = $4
  FROM due WHERE message.id = due.id
RETURNING message.id, message.type, message.message_id, message.headers, message.attempt, message.user_id,
          message.body, message.taken
"""

# Seconds until the next message of queue $1 is due (delayed, or in hand under a lease); null when there is
# none.
NEXT_DUE = """
SELECT extract(epoch FROM min(available_at) - now())::float8 FROM headwater_bus.message WHERE queue = $1
"""

# Keep messages $1 of lease $2 for another $3 seconds.
RENEW = """
UPDATE headwater_bus.message SET available_at = now() + make_interval(secs => $3)
 WHERE id = ANY($1::bigint[]) AND lease = $2
"""

# Forget messages $1 and count them out. Whoever has them in hand now would only do the same work again.
DONE = """
WITH gone AS (DELETE FROM headwater_bus.message WHERE id = ANY($1::bigint[]) RETURNING queue, size)
INSERT INTO headwater_bus.tally (queue, messages, bytes)
SELECT queue, -count(*), -sum(size) FROM gone GROUP BY queue
"""

# Put messages $1 of lease $2 off for $4 seconds, with attempts $3.
AGAIN = """
UPDATE headwater_bus.message AS message
   SET available_at = now() + make_interval(secs => $4), attempt = put_off.attempt, taken = 0, lease = NULL
  FROM unnest($1::bigint[], $3::integer[]) AS put_off (id, attempt)
 WHERE message.id = put_off.id AND message.lease = $2
"""

# Move message $1 of lease $2 to queue $3, with headers $4 and attempt $5.
DEAD = """
WITH old AS (
    SELECT id, queue, size FROM headwater_bus.message WHERE id = $1 AND lease = $2 FOR UPDATE
), moved AS (
    UPDATE headwater_bus.message AS message
       SET queue = $3, headers = $4, attempt = $5, available_at = now(), taken = 0, lease = NULL
      FROM old WHERE message.id = old.id
)
INSERT INTO headwater_bus.tally (queue, messages, bytes)
SELECT queue, -1, -size FROM old UNION ALL SELECT $3, 1, size FROM old
"""

# Give messages $1 of lease $2 back at once.
RELEASE = """
UPDATE headwater_bus.message SET available_at = now(), lease = NULL WHERE id = ANY($1::bigint[]) AND lease =
$2
"""

# Messages and bytes per queue, and of how many rows they are the sum.
DEPTH = """
SELECT queue, sum(messages)::bigint AS messages, sum(bytes)::bigint AS bytes, count(*) AS rows
  FROM headwater_bus.tally GROUP BY queue
"""

# Fold the tally into one row per queue; one process at a time, the others leave it.
FOLD = """
WITH folded AS (
    DELETE FROM headwater_bus.tally WHERE (SELECT pg_try_advisory_xact_lock(hashtext('headwater_bus.tally')))
    RETURNING queue, messages, bytes
)
INSERT INTO headwater_bus.tally (queue, messages, bytes)
SELECT queue, sum(messages), sum(bytes) FROM folded GROUP BY queue
"""

# Wake the consumers of the queues in $1 (names parted by blanks), in every process.
NOTIFY = "SELECT pg_notify('headwater_bus', $1)"

# Whether the bus is there and may be read.
CHECK = "SELECT count(*) FROM (SELECT 1 FROM headwater_bus.tally LIMIT 1) AS any_row"

ALL = (PUT, TAKE, NEXT_DUE, RENEW, DONE, AGAIN, DEAD, RELEASE, DEPTH, FOLD, NOTIFY, CHECK)
