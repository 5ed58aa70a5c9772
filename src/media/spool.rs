//! An upload on its way: a temporary file that is gone unless it is kept.
//!
//! Owns the file from the first byte until `Store::keep` takes it. Whatever happens in between (the client leaves, the
//! token is bad, the disk is full, the limit is passed), dropping the value removes the file and gives its place back.
//! Never looks at what the bytes mean.

use std::fs::File;

use ring::digest::{Context, SHA256};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::budget::SpoolPermit;
use super::error::{MediaError, blocking};
use super::hash::ContentHash;
use super::mp4::{self, VideoInfo};
use super::store::Store;

/// A file being received. After an error from [`Spool::write`] the file is already removed and every further call
/// fails.
pub struct Spool {
    open: Option<Open>,
    digest: Context,
    limit: u64,
    length: u64,
    permit: SpoolPermit,
}

struct Open {
    file: tokio::fs::File,
    path: TempPath,
}

impl Spool {
    /// A new empty file in the store's spool folder that takes at most `limit` bytes.
    pub async fn create(store: &Store, permit: SpoolPermit, limit: u64) -> Result<Self, MediaError> {
        let store = store.clone();
        let (file, path) = blocking(move || Ok(store.temporary()?.into_parts())).await?;
        Ok(Self::over(file, path, permit, limit))
    }

    fn over(file: File, path: TempPath, permit: SpoolPermit, limit: u64) -> Self {
        let file = tokio::fs::File::from_std(file);
        Self {
            open: Some(Open { file, path }),
            digest: Context::new(&SHA256),
            limit,
            length: 0,
            permit,
        }
    }

    /// Appends a chunk. `TooLarge` past the limit, `Busy` past what the sender may hold, `Unavailable` from the disk.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), MediaError> {
        let result = self.append(chunk).await;
        if result.is_err() {
            self.open = None;
        }
        result
    }

    async fn append(&mut self, chunk: &[u8]) -> Result<(), MediaError> {
        let Some(open) = &mut self.open else {
            return Err(MediaError::NotFound);
        };
        let size = chunk.len() as u64;
        if size > self.limit - self.length {
            return Err(MediaError::TooLarge);
        }
        self.permit.charge(size)?;
        open.file.write_all(chunk).await?;
        self.digest.update(chunk);
        self.length += size;
        Ok(())
    }

    /// Charges the upload to a user from now on: its token came after the file and is good. `Busy` changes nothing.
    pub fn promote(&mut self, user: i64) -> Result<(), MediaError> {
        self.permit.promote(user)
    }

    /// Ends the upload. All bytes are with the operating system; `Store::keep` makes them durable.
    pub async fn finish(mut self) -> Result<Received, MediaError> {
        let Some(mut open) = self.open.take() else {
            return Err(MediaError::NotFound);
        };
        open.file.flush().await?;
        let mut hash = [0; 32];
        hash.copy_from_slice(self.digest.finish().as_ref());
        Ok(Received {
            file: open.file.into_std().await,
            path: open.path,
            hash: ContentHash::new(hash),
            length: self.length,
            permit: self.permit,
        })
    }
}

/// A complete upload that nobody has decided about; dropping it removes it.
#[derive(Debug)]
pub struct Received {
    pub(super) file: File,
    pub(super) path: TempPath,
    hash: ContentHash,
    length: u64,
    permit: SpoolPermit,
}

impl Received {
    /// The name the file would have.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Bytes received.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// As [`Spool::promote`], for a token that came last.
    pub fn promote(&mut self, user: i64) -> Result<(), MediaError> {
        self.permit.promote(user)
    }

    /// Decides by content whether this is a video we serve. Bounded work: see [`mp4::check`].
    pub async fn check(&self) -> Result<VideoInfo, MediaError> {
        let file = self.file.try_clone()?;
        blocking(move || mp4::check(&file)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::budget::{Sender, SpoolBudget, SpoolLimits};

    fn fixture() -> (tempfile::TempDir, Store, SpoolBudget) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store, SpoolBudget::new(SpoolLimits::default()))
    }

    fn left(folder: &tempfile::TempDir) -> usize {
        std::fs::read_dir(folder.path().join("spool")).unwrap().count()
    }

    #[tokio::test]
    async fn a_received_file_has_its_bytes_and_their_sha256() {
        let (folder, store, budget) = fixture();
        let permit = budget.admit(Sender::User(1), 0).unwrap();
        let mut spool = Spool::create(&store, permit, 10).await.unwrap();
        spool.write(b"ab").await.unwrap();
        spool.write(b"c").await.unwrap();
        let received = spool.finish().await.unwrap();
        assert_eq!(received.length(), 3);
        // FIPS 180-2, appendix B.1
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(received.hash().to_string(), known);
        assert_eq!(std::fs::read(&received.path).unwrap(), b"abc");
        assert!(matches!(received.check().await, Err(MediaError::NotAVideo(_))));
        drop(received);
        assert_eq!(left(&folder), 0);
    }

    #[tokio::test]
    async fn the_limit_is_exact_and_passing_it_leaves_nothing() {
        let (folder, store, budget) = fixture();
        let mut spool = Spool::create(&store, budget.admit(Sender::User(1), 0).unwrap(), 4)
            .await
            .unwrap();
        spool.write(b"1234").await.unwrap();
        spool.write(b"").await.unwrap();
        assert!(matches!(spool.write(b"5").await, Err(MediaError::TooLarge)));
        assert_eq!(left(&folder), 0);
        assert!(spool.write(b"").await.is_err());
        assert!(spool.finish().await.is_err());
    }

    #[tokio::test]
    async fn a_broken_upload_leaves_neither_file_nor_place() {
        let (folder, store, _) = fixture();
        let budget = SpoolBudget::new(SpoolLimits {
            per_user: 1,
            ..SpoolLimits::default()
        });
        let mut spool = Spool::create(&store, budget.admit(Sender::User(1), 0).unwrap(), 100)
            .await
            .unwrap();
        spool.write(b"half").await.unwrap();
        assert_eq!(left(&folder), 1);
        assert!(budget.admit(Sender::User(1), 0).is_err());
        drop(spool);
        assert_eq!(left(&folder), 0);
        budget.admit(Sender::User(1), 0).unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_said_as_such() {
        let (folder, store, budget) = fixture();
        let (_, path) = store.temporary().unwrap().into_parts();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut spool = Spool::over(full, path, budget.admit(Sender::User(1), 0).unwrap(), 100);
        let failure = match spool.write(b"x").await {
            Ok(()) => spool.finish().await.map(drop),
            failed => failed,
        };
        assert!(failure.unwrap_err().is_full());
        assert_eq!(left(&folder), 0);
    }
}
