//! What can go wrong between us and the store, sorted by what the caller can do about it.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

/// Why a read or a write did not happen. A write that returns one of these was rolled back, with one exception:
/// [`StoreError::Unavailable`] may also mean that the answer to a commit was lost on the way.
#[derive(Debug, thiserror::Error)]
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

/// Sentences of the two servers that mean "later", recognised by their words since diesel keeps no error numbers.
/// SQLite's come from its fixed table; MySQL's sessions are set to English.
const CONFLICTS: &[&str] = &[
    "Deadlock found",
    "Lock wait timeout",
    "Record has changed since last read",
];
const LATER: &[&str] = &[
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "max_statement_time exceeded",
    "maximum statement execution time exceeded",
    "Query execution was interrupted",
    "is full",
    "No space left",
    "Too many connections",
    "server has gone away",
    "Server shutdown in progress",
    "Input/output error",
    "Connection",
    "connection",
    "Pool was disconnected",
    "packets out of order",
    "read-only",
];

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
                if CONFLICTS.iter().any(|words| message.contains(words)) {
                    Self::Conflict(message.to_owned())
                } else if LATER.iter().any(|words| message.contains(words)) {
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
