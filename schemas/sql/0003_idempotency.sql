-- First uses of idempotency keys: the moment of the first use becomes part of what is derived from the key, so that
-- the same key gives the same id again. Unpartitioned and small: rows go after days (control sweeps them).

CREATE TABLE idempotency_key (
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    operation text NOT NULL,                              -- what the key was used for, for example `runs`
    key text NOT NULL,
    digest bytea NOT NULL,                                -- SHA-256 of what was asked: another body is refused
    first_at timestamptz NOT NULL,                        -- whole milliseconds
    result uuid,                                          -- what it made, where that does not derive from the above
    PRIMARY KEY (tenant, operation, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (first_at);

ALTER TABLE idempotency_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_key FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON idempotency_key TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON idempotency_key TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON idempotency_key TO headwater_api USING (tenant = current_setting('headwater.tenant', true));

GRANT SELECT, INSERT, UPDATE ON idempotency_key TO headwater_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_key TO headwater_worker;

-- The replay of a dead webhook takes its dead delivery back and hands the message in again, body included.
GRANT DELETE ON delivery TO headwater_api;
GRANT SELECT, INSERT ON payload TO headwater_api;
