-- What the ledger holds beyond the mark is lost with the mark: flush before.
SET @statement = IF(
    (SELECT COUNT(*) FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name = 'favorites' AND column_name = 'noticed') > 0,
    'ALTER TABLE favorites DROP COLUMN noticed', 'DO 0');
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
DROP TABLE IF EXISTS events;
DROP TABLE IF EXISTS ledger_mark;
