-- Streams are rows apart from their users, messages have keys, conversations have read marks.
--
-- MySQL commits each statement by itself, so each can be repeated after a crash in the middle: an ALTER looks first.

-- The number a user's next event gets: the last lock of every transaction, while a user's row is among the first.
CREATE TABLE IF NOT EXISTS streams (
    user_id BIGINT NOT NULL,
    next_seq BIGINT NOT NULL,
    PRIMARY KEY (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
-- Where the column is gone the rows are there.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'next_seq') > 0,
    'INSERT IGNORE INTO streams (user_id, next_seq) SELECT id, next_seq FROM users', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'next_seq') > 0,
    'ALTER TABLE users DROP COLUMN next_seq', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;

-- Old events go by their age.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.statistics
      WHERE table_schema = DATABASE() AND table_name = 'events' AND index_name = 'events_created') = 0,
    'ALTER TABLE events ADD KEY events_created (created_at)', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
-- A message may have 2,000 characters, and JSON makes up to six of one.
ALTER TABLE events MODIFY COLUMN payload TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL;

-- The life of the streams, a number that only rises, and how many events a user keeps.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'store' AND column_name = 'epoch') = 0,
    'ALTER TABLE store ADD COLUMN epoch VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '''', ADD COLUMN beat BIGINT NOT NULL DEFAULT 0, ADD COLUMN keep_events BIGINT NOT NULL DEFAULT 10000', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
UPDATE store SET epoch = MD5(CONCAT(UUID(), RAND(), store_id)) WHERE epoch = '';

-- What a client calls its message, so that sending it again stores nothing. None for messages without one. VARBINARY
-- since utf8mb4_bin ignores trailing spaces, and two keys that differ are two keys.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'client_key') = 0,
    'ALTER TABLE messages ADD COLUMN client_key VARBINARY(64) NULL, ADD UNIQUE KEY messages_key (from_user_id, client_key)', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;

-- How far a side has read (0 is nothing) and how many of the peer's messages are newer. What is there counts as read.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'conversations' AND column_name = 'unread') = 0,
    'ALTER TABLE conversations ADD COLUMN read_time BIGINT NOT NULL DEFAULT 0, ADD COLUMN read_message_id BIGINT NOT NULL DEFAULT 0, ADD COLUMN unread BIGINT NOT NULL DEFAULT 0', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
UPDATE conversations SET read_time = last_time, read_message_id = last_message_id WHERE read_time = 0 AND unread = 0;

-- Which tokens ended when: `changed_at` is taken under a clock, so whoever reads on from the last one misses none.
CREATE TABLE IF NOT EXISTS revocations (
    changed_at BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    token_version BIGINT NOT NULL,
    PRIMARY KEY (changed_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO clocks (name, last_ms) VALUES ('revocation', 0);

-- When a user's last connection ended.
CREATE TABLE IF NOT EXISTS last_seen (
    user_id BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
