-- Walks in hand: a worker goes on from page to page without a message between them, and says on each page that it does.

ALTER TABLE page ADD COLUMN holder uuid;  -- who went on to this page, or took it over last
