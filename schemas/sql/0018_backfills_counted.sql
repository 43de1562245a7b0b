-- What a backfill counted when it was made, so that a repeated request is answered as the first one was.

ALTER TABLE backfill
    ADD COLUMN present_count integer NOT NULL DEFAULT 0,  -- boundaries that had their runs
    ADD COLUMN wanted_count integer NOT NULL DEFAULT 0,   -- runs to be made
    ADD COLUMN first_at timestamptz,
    ADD COLUMN last_at timestamptz;
