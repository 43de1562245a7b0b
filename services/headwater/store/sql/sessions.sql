-- name: end_session
-- The session with this digest ($2) of a key is over from $3 on; by itself it would be at $4.
SELECT end_session($1, $2, $3, $4)

-- name: session_has_ended
-- Whether somebody ended it; it began at $3.
SELECT session_has_ended($1, $2, $3)
