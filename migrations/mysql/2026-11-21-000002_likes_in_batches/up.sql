-- Likes arrive from the ledger in batches; who is told of what has a stream of events.
--
-- MySQL commits each statement by itself, so each can be repeated after a crash in the middle: an ALTER looks first
-- (ADD COLUMN IF NOT EXISTS is MariaDB's alone).

-- One row: how far the store has got in which ledger. Every statement that reads counts reads it as well.
CREATE TABLE IF NOT EXISTS ledger_mark (
    id BIGINT NOT NULL,
    ledger_id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO ledger_mark (id, ledger_id, position) VALUES (1, '', 0);

-- What a user is told, in the order of a dense number of the user's own.
CREATE TABLE IF NOT EXISTS events (
    user_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload VARCHAR(4000) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The number the user's next event gets.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'next_seq') = 0,
    'ALTER TABLE users ADD COLUMN next_seq BIGINT NOT NULL DEFAULT 1', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;

-- Whether the author was told of this liker, once for ever. Those from before the streams count as told: the default
-- says so for them, and every later row says itself.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'favorites' AND column_name = 'noticed') = 0,
    'ALTER TABLE favorites ADD COLUMN noticed BOOLEAN NOT NULL DEFAULT TRUE', 'DO 0');
PREPARE statement FROM @statement;
EXECUTE statement;
DEALLOCATE PREPARE statement;
