-- What operators do with what came in: replays as one undertaking, with progress and cancelling.

-- One request for replays. What of it is done stands in its rows of delivery_replay.
CREATE TABLE replay_request (
    id uuid PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant ON DELETE CASCADE,
    selection jsonb NOT NULL,                             -- the filter, as it was asked for
    rate_per_s double precision,                          -- null: at once
    delivery_count bigint NOT NULL DEFAULT 0,
    requested_by text,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cancelled_at timestamptz
);
CREATE INDEX replay_request_of_tenant ON replay_request (tenant, requested_at DESC, id DESC);

ALTER TABLE delivery_replay
    ADD COLUMN request_id uuid,                           -- null: asked for before there were requests
    DROP CONSTRAINT delivery_replay_state_check,
    ADD CONSTRAINT delivery_replay_state_check
        CHECK (state IN ('waiting', 'done', 'filtered', 'dead', 'superseded', 'cancelled'));
CREATE INDEX delivery_replay_of_request ON delivery_replay (request_id, state) WHERE request_id IS NOT NULL;
CREATE INDEX delivery_replay_of_delivery ON delivery_replay (delivery_id, number DESC);

ALTER TABLE replay_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE replay_request FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON replay_request TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON replay_request TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON replay_request TO headwater_api USING (tenant = current_setting('headwater.tenant', true));

GRANT SELECT, INSERT, UPDATE, DELETE ON replay_request TO headwater_worker;
GRANT SELECT, INSERT, UPDATE ON replay_request TO headwater_api;
GRANT UPDATE (state, settled_at) ON delivery_replay TO headwater_api;  -- cancelling

GRANT SELECT ON dedupe_claim TO headwater_api;  -- endpoints/{endpoint}/test tells of which delivery it would be a mark
