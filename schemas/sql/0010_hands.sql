-- Walks in hand: a worker goes on from page to page without a message between them, and says on each page that it does.

ALTER TABLE page ADD COLUMN holder uuid;  -- who went on to this page, or took it over last

-- Without statistics of its newest partition the planner takes any index that begins with the columns of a walk, and
-- reads all pages of the walk to find one by its number. What is looked up by a digest begins with it.
ALTER TABLE page DROP CONSTRAINT page_run_at_run_id_attempt_walk_token_digest_key;
ALTER TABLE page ADD CONSTRAINT page_token UNIQUE (token_digest, run_at, run_id, attempt, walk);  -- the loop guard
DROP INDEX page_content;
CREATE INDEX page_content ON page (content_digest, run_at, run_id, attempt, walk) WHERE content_digest IS NOT NULL;
