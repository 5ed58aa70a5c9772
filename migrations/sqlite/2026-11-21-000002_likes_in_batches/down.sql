-- What the ledger holds beyond the mark is lost with the mark: flush before.
ALTER TABLE favorites DROP COLUMN noticed;
ALTER TABLE users DROP COLUMN next_seq;
DROP TABLE events;
DROP TABLE ledger_mark;
