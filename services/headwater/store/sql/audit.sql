-- name: list
-- Changes of a tenant ($1), and of what belongs to none where the transaction may see it; newest first.
SELECT * FROM audit
 WHERE (tenant = $1 OR tenant IS NULL)
   AND ($2::text IS NULL OR kind = $2) AND ($3::text IS NULL OR name = $3)
   AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR verb = $5)
   AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
   AND ($9::timestamptz IS NULL OR (at, id) < ($9, $10::uuid))
 ORDER BY at DESC, id DESC LIMIT $8

-- name: get
SELECT * FROM audit WHERE id = $1 AND (tenant = $2 OR tenant IS NULL)
