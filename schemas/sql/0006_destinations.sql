-- Destinations: attempts that load into tables of their own, so that what they leave is found; samples of answers.

-- Written before such a table is made, removed with it. The stream's version says which tables they are.
CREATE TABLE run_staging (
    run_at timestamptz NOT NULL,
    run_id uuid NOT NULL,
    attempt integer NOT NULL,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_at, run_id, attempt)
);

-- What was answered, for streams without a destination: the beginning of the body, secrets starred out.
ALTER TABLE page ADD COLUMN sample text;

ALTER TABLE run_staging ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_staging FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON run_staging TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON run_staging TO headwater_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON run_staging TO headwater_worker;
