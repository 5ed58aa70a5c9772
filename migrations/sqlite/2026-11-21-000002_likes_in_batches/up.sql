-- Likes arrive from the ledger in batches; who is told of what has a stream of events.

-- One row: how far the store has got in which ledger. Every statement that reads counts reads it as well.
CREATE TABLE ledger_mark (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    ledger_id TEXT NOT NULL,
    position BIGINT NOT NULL
);
INSERT INTO ledger_mark (id, ledger_id, position) VALUES (1, '', 0);

-- What a user is told, in the order of a dense number of the user's own.
CREATE TABLE events (
    user_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, seq)
) WITHOUT ROWID;

-- The number the user's next event gets.
ALTER TABLE users ADD COLUMN next_seq BIGINT NOT NULL DEFAULT 1;

-- Whether the author was told of this liker, once for ever. Those from before the streams count as told: the default
-- says so for them, and every later row says itself.
ALTER TABLE favorites ADD COLUMN noticed BOOLEAN NOT NULL DEFAULT TRUE;
