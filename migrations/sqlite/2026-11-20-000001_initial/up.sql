-- The ground floor. Ids are made by the program (blocks handed out from `id_blocks`); times are milliseconds since the
-- epoch. No foreign keys: rows are marked, never deleted, and a cascade would change counts unseen.
-- Composite keys are the table itself (WITHOUT ROWID): one tree to write, not two.

-- One row: which store this is. Tokens and, later, the ledger carry `store_id`.
CREATE TABLE store (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- The next id nobody has been handed, by kind.
CREATE TABLE id_blocks (
    kind TEXT NOT NULL,
    next_id BIGINT NOT NULL,
    PRIMARY KEY (kind)
) WITHOUT ROWID;

-- The last time taken of each clock that must never repeat or go back.
CREATE TABLE clocks (
    name TEXT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;

-- Names are compared byte by byte. An empty picture means the default one.
CREATE TABLE users (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    token_version BIGINT NOT NULL DEFAULT 1,
    avatar TEXT NOT NULL DEFAULT '',
    background_image TEXT NOT NULL DEFAULT '',
    signature TEXT NOT NULL DEFAULT '',
    follow_count BIGINT NOT NULL DEFAULT 0,
    follower_count BIGINT NOT NULL DEFAULT 0,
    total_favorited BIGINT NOT NULL DEFAULT 0,
    work_count BIGINT NOT NULL DEFAULT 0,
    favorite_count BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (name);

-- `publish_time` is unique: it is the feed's cursor.
CREATE TABLE videos (
    id INTEGER NOT NULL PRIMARY KEY,
    author_id BIGINT NOT NULL,
    title TEXT NOT NULL,
    media_hash TEXT NOT NULL,
    publish_time BIGINT NOT NULL,
    favorite_count BIGINT NOT NULL DEFAULT 0,
    comment_count BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX videos_publish_time ON videos (publish_time);
CREATE INDEX videos_author ON videos (author_id, publish_time);
CREATE INDEX videos_media ON videos (media_hash);

-- The state of a pair; an unlike keeps its row.
CREATE TABLE favorites (
    user_id BIGINT NOT NULL,
    video_id BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, video_id)
) WITHOUT ROWID;
CREATE INDEX favorites_list ON favorites (user_id, active, changed_at, video_id);

-- The state of a pair; an unfollow keeps its row.
CREATE TABLE follows (
    follower_id BIGINT NOT NULL,
    followee_id BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
) WITHOUT ROWID;
CREATE INDEX follows_list ON follows (follower_id, active, changed_at, followee_id);
CREATE INDEX follows_followers ON follows (followee_id, active, changed_at, follower_id);

-- Deleted comments keep their row. They stand apart in the index, so that no page has to pass over them.
CREATE TABLE comments (
    id INTEGER NOT NULL PRIMARY KEY,
    video_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX comments_list ON comments (video_id, deleted_at, created_at, id);

-- Two rows a conversation, one for each side. `last_time` of the row with the lower user first is the lock under
-- which a message's time is taken.
CREATE TABLE conversations (
    user_id BIGINT NOT NULL,
    peer_id BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    last_message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, peer_id)
) WITHOUT ROWID;

-- `user_lo` < `user_hi` name the conversation; its times are unique, so a poll by time loses nothing.
CREATE TABLE messages (
    id INTEGER NOT NULL PRIMARY KEY,
    user_lo BIGINT NOT NULL,
    user_hi BIGINT NOT NULL,
    from_user_id BIGINT NOT NULL,
    content TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX messages_conversation ON messages (user_lo, user_hi, create_time);

-- Rows that are locked must exist before.
INSERT INTO id_blocks (kind, next_id) VALUES ('user', 1);
INSERT INTO id_blocks (kind, next_id) VALUES ('video', 1);
INSERT INTO id_blocks (kind, next_id) VALUES ('comment', 1);
INSERT INTO id_blocks (kind, next_id) VALUES ('message', 1);
INSERT INTO clocks (name, last_ms) VALUES ('publish', 0);
