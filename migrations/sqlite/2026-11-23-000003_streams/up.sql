-- Streams are rows apart from their users, messages have keys, conversations have read marks.

-- The number a user's next event gets: the last lock of every transaction, while a user's row is among the first.
CREATE TABLE streams (
    user_id INTEGER NOT NULL PRIMARY KEY,
    next_seq BIGINT NOT NULL
);
INSERT INTO streams (user_id, next_seq) SELECT id, next_seq FROM users;
ALTER TABLE users DROP COLUMN next_seq;

-- Old events go by their age.
CREATE INDEX events_created ON events (created_at);

-- The life of the streams, a number that only rises, and how many events a user keeps.
ALTER TABLE store ADD COLUMN epoch TEXT NOT NULL DEFAULT '';
ALTER TABLE store ADD COLUMN beat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN keep_events BIGINT NOT NULL DEFAULT 10000;
UPDATE store SET epoch = lower(hex(randomblob(16)));

-- What a client calls its message, so that sending it again stores nothing. None for messages without one.
ALTER TABLE messages ADD COLUMN client_key TEXT;
CREATE UNIQUE INDEX messages_key ON messages (from_user_id, client_key) WHERE client_key IS NOT NULL;

-- How far a side has read (0 is nothing) and how many of the peer's messages are newer. What is there counts as read.
ALTER TABLE conversations ADD COLUMN read_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN read_message_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN unread BIGINT NOT NULL DEFAULT 0;
UPDATE conversations SET read_time = last_time, read_message_id = last_message_id;

-- Which tokens ended when: `changed_at` is taken under a clock, so whoever reads on from the last one misses none.
CREATE TABLE revocations (
    changed_at INTEGER NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    token_version BIGINT NOT NULL
);
INSERT INTO clocks (name, last_ms) VALUES ('revocation', 0);

-- When a user's last connection ended.
CREATE TABLE last_seen (
    user_id INTEGER NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
