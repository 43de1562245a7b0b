-- name: make_partitions
SELECT make_partitions($1, $2)

-- name: default_rows
SELECT name, row_count FROM rows_in_default_partitions() WHERE row_count > 0
