-- name: make_partitions
SELECT make_partitions($1, $2)

-- name: drop_partitions
SELECT drop_partitions($1, (now() AT TIME ZONE 'UTC')::date - $2::int)

-- name: default_rows
SELECT name, row_count FROM rows_in_default_partitions() WHERE row_count > 0
