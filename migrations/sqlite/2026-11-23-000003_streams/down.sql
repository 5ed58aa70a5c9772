-- Keys, read marks and the times of absent users are lost; messages and events stay.
DROP TABLE last_seen;
DROP TABLE revocations;
DELETE FROM clocks WHERE name = 'revocation';
ALTER TABLE conversations DROP COLUMN unread;
ALTER TABLE conversations DROP COLUMN read_message_id;
ALTER TABLE conversations DROP COLUMN read_time;
DROP INDEX messages_key;
ALTER TABLE messages DROP COLUMN client_key;
ALTER TABLE store DROP COLUMN keep_events;
ALTER TABLE store DROP COLUMN beat;
ALTER TABLE store DROP COLUMN epoch;
DROP INDEX events_created;
ALTER TABLE users ADD COLUMN next_seq BIGINT NOT NULL DEFAULT 1;
UPDATE users SET next_seq = (SELECT next_seq FROM streams WHERE user_id = users.id)
    WHERE id IN (SELECT user_id FROM streams);
DROP TABLE streams;
