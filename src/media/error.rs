//! What can go wrong with an upload, a stored file or a cover.
//!
//! Owns the words; never an HTTP status: the caller maps them.

use std::io;

/// Why the media room refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The upload is longer than the limit of its spool. Nothing of it is left.
    #[error("the file is too large")]
    TooLarge,
    /// The bytes are not a video we serve; the sentence is fit for the person who sent them.
    #[error("the file is not a usable MP4 video: {0}")]
    NotAVideo(&'static str),
    /// A bound on uploads or on background work is reached; nothing was changed, later may do.
    #[error("too many uploads at the moment")]
    Busy,
    /// No such file is stored.
    #[error("no such media file")]
    NotFound,
    /// The disk refused: full, read-only, gone. See [`MediaError::is_full`].
    #[error("the media folder is unavailable")]
    Unavailable(#[from] io::Error),
}

impl MediaError {
    /// Whether the disk or the quota is full: worth an alarm of its own, since it does not pass by itself.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Unavailable(error)
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// What the disk said, for the log: the error itself may name a path.
    pub fn disk(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Unavailable(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// The blocking pool dropped the work: the process is going down.
    pub(crate) fn interrupted() -> Self {
        Self::Unavailable(io::Error::other("the server is stopping"))
    }
}

/// Runs blocking disk work off the async threads; a pool that is shutting down is `Unavailable`, never a panic.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, MediaError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, MediaError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| MediaError::interrupted())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_a_missing_one() {
        assert!(MediaError::from(io::Error::from_raw_os_error(28)).is_full()); // ENOSPC
        assert!(!MediaError::from(io::Error::from_raw_os_error(5)).is_full()); // EIO
        assert!(!MediaError::Busy.is_full());
    }
}
