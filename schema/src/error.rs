//! What can go wrong between us and the store, sorted by what the caller can do about it.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

/// Why a read or a write did not happen. A write that returns one of these was rolled back, with one exception:
/// [`StoreError::Unavailable`] may also mean that the answer to a commit was lost on the way.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// All connections are taken and the wait for one is over its bound. Nothing was tried.
    #[error("no database connection became free in time")]
    Busy,
    /// The database is away, locked, out of space or too slow. Later may be different.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Another transaction stood in the way (deadlock, lock wait); the store itself retries these.
    #[error("the transaction met another one: {0}")]
    Conflict(String),
    /// A row with that unique key exists.
    #[error("a row with that key exists already")]
    Duplicate,
    /// A bug or a broken database: worth a look at the log.
    #[error("the database refused: {0}")]
    Internal(String),
}

impl StoreError {
    pub(crate) fn from_connection(error: ConnectionError) -> Self {
        match error {
            ConnectionError::CouldntSetupConfiguration(error) => match Self::from(error) {
                Self::Internal(message) => Self::Unavailable(message),
                other => other,
            },
            other => Self::Unavailable(other.to_string()),
        }
    }

    /// True where a second try of the same closure can help.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// What "try again" looks like. Recognised by words since diesel keeps no error numbers: MySQL's sessions are set to
/// English, SQLite's words come from its fixed table. Every sentence is matched from its start, so that a name or a
/// value that the server quotes can't be taken for one.
const CONFLICTS: &[&str] = &[
    "Deadlock found when trying to get lock",      // 1213
    "Lock wait timeout exceeded",                  // 1205
    "Record has changed since last read in table", // 1020
    "WSREP detected deadlock/conflict",            // 1213 of a Galera node, at the commit
];
/// What "later" looks like. The first lines are the client's own, about a connection that broke.
const LATER: &[&str] = &[
    "Input/output error: ",
    "Driver error: `Connection to the server is closed",
    "Driver error: `Packet out of order",
    "Driver error: `Unexpected packet",
    "Connection was killed",                     // 1927, MariaDB
    "Query execution was interrupted",           // 1317, 1969, 3024
    "Server shutdown in progress",               // 1053
    "The client was disconnected by the server", // 4031, MySQL
    "Too many connections",                      // 1040
    "WSREP has not yet prepared node",           // 1047
    "Disk full (",                               // 1021
    "Out of memory",                             // 1037, 1041
    "The total number of locks exceeds",         // 1206
    "Running in read-only mode",                 // 1836
    // SQLite
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "locking protocol",
    "out of memory",
    "interrupted",
];
/// The same where the sentence starts with a name: its start and its end.
const LATER_AROUND: &[(&str, &str)] = &[
    ("The table '", "' is full"),                      // 1114
    ("Got error 28 ", ""),                             // 1030, out of space
    ("Error writing file '", ")"),                     // 3
    ("The M", " so it cannot execute this statement"), // 1290, --read-only
    ("User ", " active connections"),                  // 1203
    ("User '", ")"),                                   // 1226, a quota
];

fn is_conflict(message: &str) -> bool {
    CONFLICTS.iter().any(|start| message.starts_with(start))
}

fn is_later(message: &str) -> bool {
    LATER.iter().any(|start| message.starts_with(start))
        || LATER_AROUND
            .iter()
            .any(|(start, end)| message.starts_with(start) && message.ends_with(end))
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Duplicate,
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, info) => {
                Self::Conflict(info.message().to_owned())
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::ReadOnlyTransaction,
                info,
            ) => Self::Unavailable(info.message().to_owned()),
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
                let message = info.message();
                if is_conflict(message) {
                    Self::Conflict(message.to_owned())
                } else if is_later(message) {
                    Self::Unavailable(message.to_owned())
                } else {
                    Self::Internal(message.to_owned())
                }
            }
            DieselError::BrokenTransactionManager => Self::Unavailable("the connection broke".to_owned()),
            other => Self::Internal(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(message: &str) -> &'static str {
        let info = Box::new(message.to_owned());
        match StoreError::from(DieselError::DatabaseError(DatabaseErrorKind::Unknown, info)) {
            StoreError::Conflict(_) => "conflict",
            StoreError::Unavailable(_) => "later",
            StoreError::Internal(_) => "internal",
            _ => "other",
        }
    }

    /// The sentences as MariaDB 10.11, MySQL 8 (its error reference), `mysql_async` 0.36 and SQLite say them.
    #[test]
    fn every_sentence_is_sorted() {
        for message in [
            "Deadlock found when trying to get lock; try restarting transaction",
            "Lock wait timeout exceeded; try restarting transaction",
            "Record has changed since last read in table 'users'",
        ] {
            assert_eq!(kind(message), "conflict", "{message}");
        }
        for message in [
            "Input/output error: Input/output error: Connection reset by peer (os error 104)",
            "Driver error: `Connection to the server is closed.'",
            "Driver error: `Packet out of order.'",
            "Connection was killed",
            "Query execution was interrupted",
            "Query execution was interrupted (max_statement_time exceeded)",
            "Query execution was interrupted, maximum statement execution time exceeded",
            "Server shutdown in progress",
            "The client was disconnected by the server because of inactivity. See wait_timeout and \
             interactive_timeout for configuring this behavior.",
            "Too many connections",
            "User ovation already has more than 'max_user_connections' active connections",
            "User 'ovation' has exceeded the 'max_questions' resource (current value: 7)",
            "The table 'users' is full",
            "Got error 28 \"No space left on device\" from storage engine InnoDB",
            "Error writing file './x/db.opt' (Errcode: 28 \"No space left on device\")",
            "Disk full (/tmp/#sql); waiting for someone to free some space...",
            "The MySQL server is running with the --read-only option so it cannot execute this statement",
            "The MariaDB server is running with the --read-only option so it cannot execute this statement",
            "The MySQL server is running with the --super-read-only option so it cannot execute this statement",
            "database is locked",
            "database or disk is full",
            "disk I/O error",
            "attempt to write a readonly database",
        ] {
            assert_eq!(kind(message), "later", "{message}");
        }
        for message in [
            "Unknown column 'connection' in 'field list'",
            "Table 'ovation.connections' doesn't exist",
            "Data too long for column 'is full' at row 1",
            "Incorrect string value: '\\xF0 read-only' for column 'title' at row 1",
            "You have an error in your SQL syntax; check the manual near 'Connection was killed' at line 1",
            "database disk image is malformed",
            "no such table: users",
            "file is not a database",
        ] {
            assert_eq!(kind(message), "internal", "{message}");
        }
    }
}
