-- The ground floor. Ids are made by the program (blocks handed out from `id_blocks`); times are milliseconds since the
-- epoch. No foreign keys: rows are marked, never deleted, and a cascade would change counts unseen.
--
-- MySQL commits each statement of a migration by itself, so each can be repeated after a crash in the middle.
-- `users.name` is VARBINARY since utf8mb4_bin ignores trailing spaces, and two names that differ are two names.

-- One row: which store this is. Tokens and, later, the ledger carry `store_id`.
CREATE TABLE IF NOT EXISTS store (
    id BIGINT NOT NULL,
    store_id CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The next id nobody has been handed, by kind.
CREATE TABLE IF NOT EXISTS id_blocks (
    kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    next_id BIGINT NOT NULL,
    PRIMARY KEY (kind)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last time taken of each clock that must never repeat or go back.
CREATE TABLE IF NOT EXISTS clocks (
    name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Names are compared byte by byte. An empty picture means the default one.
CREATE TABLE IF NOT EXISTS users (
    id BIGINT NOT NULL,
    name VARBINARY(128) NOT NULL,
    password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    token_version BIGINT NOT NULL DEFAULT 1,
    avatar VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    background_image VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    signature VARCHAR(400) NOT NULL DEFAULT '',
    follow_count BIGINT NOT NULL DEFAULT 0,
    follower_count BIGINT NOT NULL DEFAULT 0,
    total_favorited BIGINT NOT NULL DEFAULT 0,
    work_count BIGINT NOT NULL DEFAULT 0,
    favorite_count BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY users_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `publish_time` is unique: it is the feed's cursor.
CREATE TABLE IF NOT EXISTS videos (
    id BIGINT NOT NULL,
    author_id BIGINT NOT NULL,
    title VARCHAR(400) NOT NULL,
    media_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    publish_time BIGINT NOT NULL,
    favorite_count BIGINT NOT NULL DEFAULT 0,
    comment_count BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE KEY videos_publish_time (publish_time),
    KEY videos_author (author_id, publish_time),
    KEY videos_media (media_hash)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The state of a pair; an unlike keeps its row.
CREATE TABLE IF NOT EXISTS favorites (
    user_id BIGINT NOT NULL,
    video_id BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, video_id),
    KEY favorites_list (user_id, active, changed_at, video_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The state of a pair; an unfollow keeps its row.
CREATE TABLE IF NOT EXISTS follows (
    follower_id BIGINT NOT NULL,
    followee_id BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (follower_id, followee_id),
    KEY follows_list (follower_id, active, changed_at, followee_id),
    KEY follows_followers (followee_id, active, changed_at, follower_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Deleted comments keep their row. They stand apart in the index, so that no page has to pass over them.
CREATE TABLE IF NOT EXISTS comments (
    id BIGINT NOT NULL,
    video_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    content VARCHAR(4000) NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (id),
    KEY comments_list (video_id, deleted_at, created_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Two rows a conversation, one for each side. `last_time` of the row with the lower user first is the lock under
-- which a message's time is taken.
CREATE TABLE IF NOT EXISTS conversations (
    user_id BIGINT NOT NULL,
    peer_id BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    last_message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, peer_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- `user_lo` < `user_hi` name the conversation; its times are unique, so a poll by time loses nothing.
CREATE TABLE IF NOT EXISTS messages (
    id BIGINT NOT NULL,
    user_lo BIGINT NOT NULL,
    user_hi BIGINT NOT NULL,
    from_user_id BIGINT NOT NULL,
    content VARCHAR(4000) NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY messages_conversation (user_lo, user_hi, create_time)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rows that are locked must exist before.
INSERT IGNORE INTO id_blocks (kind, next_id) VALUES ('user', 1);
INSERT IGNORE INTO id_blocks (kind, next_id) VALUES ('video', 1);
INSERT IGNORE INTO id_blocks (kind, next_id) VALUES ('comment', 1);
INSERT IGNORE INTO id_blocks (kind, next_id) VALUES ('message', 1);
INSERT IGNORE INTO clocks (name, last_ms) VALUES ('publish', 0);
