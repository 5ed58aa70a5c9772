//! Videos and their covers: receiving, judging, keeping and serving them (section 5.5 of the contract).
//!
//! Owns every byte below `spool/` and `media/` of the data folder. Knows nothing of users beyond a number to count by,
//! and nothing of rows: whoever publishes says whether the row was written ([`Kept`]). The way of an upload: a place in
//! the budget, a [`Spool`], [`Received`], a check, [`Kept`], and a cover in the background.

mod boxes;
mod budget;
mod cover;
pub mod cover_child;
mod error;
mod hash;
mod helper;
mod mp4;
mod picture;
mod placeholder;
mod range;
mod sample;
mod serve;
mod spool;
mod store;
mod sweep;
mod track;

use std::path::Path;

pub use budget::{Sender, SpoolBudget, SpoolLimits, SpoolPermit};
pub use cover::{Cover, CoverLimits, Covers};
pub use error::MediaError;
pub use hash::ContentHash;
pub use mp4::{VideoInfo, check};
pub use serve::routes;
pub use spool::{Received, Spool};
pub use store::{Kept, Store};
pub use sweep::{SweepError, Swept};

/// Everything of this room that can be set.
#[derive(Debug, Clone)]
pub struct MediaLimits {
    /// The largest upload in bytes; 30 MiB by default.
    pub upload_bytes: u64,
    /// How many uploads may wait, and how much disk they may take.
    pub spools: SpoolLimits,
    /// How covers are made.
    pub covers: CoverLimits,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            upload_bytes: 30 * 1024 * 1024,
            spools: SpoolLimits::default(),
            covers: CoverLimits::default(),
        }
    }
}

/// The room's services in one handle; clones share them.
#[derive(Debug, Clone)]
pub struct Media {
    store: Store,
    covers: Covers,
    budget: SpoolBudget,
    upload_bytes: u64,
}

impl Media {
    /// Opens the folders below `data_dir`. Blocking; `Unavailable` when they can't be made.
    pub fn open(data_dir: &Path, limits: MediaLimits) -> Result<Self, MediaError> {
        let store = Store::open(data_dir)?;
        Ok(Self {
            covers: Covers::new(store.clone(), limits.covers),
            store,
            budget: SpoolBudget::new(limits.spools),
            upload_bytes: limits.upload_bytes,
        })
    }

    /// Begins an upload. `declared` is the length its sender announced, if any, and is reserved at once: `TooLarge` and
    /// `Busy` come before the body is read. A multipart body is longer than its file, so announce its length only when
    /// it is known to be the file's; 0 is always right.
    pub async fn spool(&self, sender: Sender, declared: u64) -> Result<Spool, MediaError> {
        if declared > self.upload_bytes {
            return Err(MediaError::TooLarge);
        }
        let permit = self.budget.admit(sender, declared)?;
        Spool::create(&self.store, permit, self.upload_bytes).await
    }

    /// Checks a finished upload, keeps it and begins its cover. `NotAVideo` and every other error leave nothing behind.
    pub async fn keep(&self, received: Received) -> Result<(Kept, VideoInfo), MediaError> {
        let info = received.check().await?;
        let kept = self.store.keep(received).await?;
        self.covers.start(kept.hash(), info);
        Ok((kept, info))
    }

    /// Where the files lie; for the sweep at start.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The covers.
    pub const fn covers(&self) -> &Covers {
        &self.covers
    }

    /// The largest upload in bytes.
    pub const fn upload_bytes(&self) -> u64 {
        self.upload_bytes
    }
}

/// The path of a video on this server, to be put behind the public base URL; `hash` is a [`ContentHash`] as text.
pub fn video_url_path(hash: &str) -> String {
    format!("/media/videos/{hash}.mp4")
}

/// The path of a video's cover on this server, likewise.
pub fn cover_url_path(hash: &str) -> String {
    format!("/media/covers/{hash}.jpg")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            count += if entry.file_type().unwrap().is_dir() {
                files(&entry.path())
            } else {
                1
            };
        }
        count
    }

    #[tokio::test]
    async fn what_is_refused_leaves_nothing_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let limits = MediaLimits {
            upload_bytes: 100,
            ..MediaLimits::default()
        };
        let media = Media::open(folder.path(), limits).unwrap();
        let sender = Sender::Address([192, 0, 2, 1].into());
        assert!(matches!(media.spool(sender, 101).await, Err(MediaError::TooLarge)));
        let mut spool = media.spool(sender, 100).await.unwrap();
        spool.write(&[0; 100]).await.unwrap();
        spool.promote(1).unwrap();
        let received = spool.finish().await.unwrap();
        assert!(matches!(media.keep(received).await, Err(MediaError::NotAVideo(_))));
        assert_eq!(files(folder.path()), 0);
    }
}
