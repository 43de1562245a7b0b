-- The bus of the embedded default: queues as rows. Which queues exist, what leads to them and how much they hold
-- stands in rabbitmq/definitions.json, as for RabbitMQ; here they are names.

CREATE SCHEMA IF NOT EXISTS headwater_bus;

CREATE TABLE headwater_bus.message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    type text NOT NULL,
    message_id text NOT NULL,                             -- the sender's; a message sent twice has two rows
    headers text NOT NULL,                                -- JSON object of texts
    attempt integer NOT NULL,                             -- failures of this message's own
    user_id text,
    body bytea NOT NULL,
    size integer NOT NULL,                                -- bytes of the body, without reading it
    available_at timestamptz NOT NULL DEFAULT now(),      -- when it may be taken: delay, or end of the lease
    taken integer NOT NULL DEFAULT 0,                     -- times handed out since it was put or put off
    lease uuid                                            -- the consumer that has it in hand
);
CREATE INDEX message_ready ON headwater_bus.message (queue, available_at, id);
-- Rows live for milliseconds: dead ones are to go before they are many.
ALTER TABLE headwater_bus.message SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- What came and what went, in the transaction in which it did; the sum per queue is its depth. Insert-only, so that
-- no two commits wait for one row; folded into one row per queue now and then.
CREATE TABLE headwater_bus.tally (
    queue text NOT NULL,
    messages bigint NOT NULL,
    bytes bigint NOT NULL
);
ALTER TABLE headwater_bus.tally SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

GRANT USAGE ON SCHEMA headwater_bus TO headwater_api, headwater_worker;
GRANT INSERT ON headwater_bus.message TO headwater_api;                         -- control publishes, and takes nothing
GRANT SELECT, INSERT, UPDATE, DELETE ON headwater_bus.message TO headwater_worker;
GRANT SELECT, INSERT, DELETE ON headwater_bus.tally TO headwater_api, headwater_worker;
