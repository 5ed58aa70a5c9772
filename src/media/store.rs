//! Where videos and covers lie on the disk, and the moments between "the file is there" and "a row says so".
//!
//! Owns the folders below the data folder: `spool/` for what is unfinished, `media/videos/` and `media/covers/` for
//! what is kept, each split by the first two digits of the content hash. A file appears there complete and durable
//! (fsync, atomic rename, fsync of the folder) or not at all. Owns also who is publishing which hash right now, so that
//! neither a failed publish nor the sweep takes away a file that another publish relies on. Never reads file contents.
//!
//! `spool/` and `media/` must lie on one file system: a rename is only atomic there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempPath};

use super::error::{MediaError, blocking};
use super::hash::ContentHash;
use super::spool::Received;

/// A handle to the folders; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spool: PathBuf,
    videos: PathBuf,
    covers: PathBuf,
    /// Begins the name of every temporary file of this process, so that the sweep can tell them from a dead one's.
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    publishing: HashMap<ContentHash, Publishing>,
    /// While a sweep runs: every hash kept since it began. Its look-ups may be older than their rows.
    pub kept_since_sweep: Option<HashSet<ContentHash>>,
}

/// All publishes of one hash that have a file and no verdict yet.
#[derive(Debug, Default)]
struct Publishing {
    count: usize,
    /// One of them created the file: nothing older refers to it.
    fresh: bool,
    /// A row refers to the file, or may.
    referenced: bool,
}

impl State {
    /// Whether the sweep must leave this hash alone.
    pub fn is_claimed(&self, hash: &ContentHash) -> bool {
        self.publishing.contains_key(hash) || self.kept_since_sweep.as_ref().is_some_and(|kept| kept.contains(hash))
    }
}

impl Store {
    /// Opens the folders below `data_dir` and makes those that are missing. One process at a time: the caller holds the
    /// lock on the data folder.
    pub fn open(data_dir: &Path) -> Result<Self, MediaError> {
        let media = data_dir.join("media");
        let shared = Shared {
            spool: data_dir.join("spool"),
            videos: media.join("videos"),
            covers: media.join("covers"),
            prefix: format!("{:016x}-", rand::random::<u64>()),
            state: Mutex::default(),
        };
        for folder in [&shared.spool, &shared.videos, &shared.covers] {
            fs::create_dir_all(folder)?;
        }
        for folder in [data_dir, &media] {
            sync_folder(folder)?;
        }
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The file of a video, whether it exists or not.
    pub fn video_path(&self, hash: &ContentHash) -> PathBuf {
        path_in(&self.shared.videos, hash, "mp4")
    }

    /// The file of a video's cover, whether it exists or not.
    pub fn cover_path(&self, hash: &ContentHash) -> PathBuf {
        path_in(&self.shared.covers, hash, "jpg")
    }

    /// Makes an upload durable under its hash. The same bytes twice share one file. The upload's place in the budget is
    /// given back. The file stays safe from the sweep and from others' failures until the guard is told how it ended.
    pub async fn keep(&self, received: Received) -> Result<Kept, MediaError> {
        let store = self.clone();
        let mut kept = blocking(move || store.keep_now(received)).await?;
        kept.verdict = Verdict::Unknown;
        Ok(kept)
    }

    /// Until the guard is handed over, dropping it means that nobody can have written a row: the request was dropped
    /// while this ran, or the disk failed half way.
    fn keep_now(&self, received: Received) -> Result<Kept, MediaError> {
        let (hash, length) = (received.hash(), received.length());
        received.file.sync_all()?;
        let kept = self.claim(hash);
        self.place(received.path, &self.video_path(&hash), Some((hash, length)))?;
        Ok(kept)
    }

    /// Stores a finished cover; an older one is replaced. Blocking.
    pub(super) fn keep_cover(&self, hash: &ContentHash, jpeg: &[u8]) -> Result<PathBuf, MediaError> {
        let mut file = self.temporary()?;
        io::Write::write_all(&mut file, jpeg)?;
        file.as_file().sync_all()?;
        let path = self.cover_path(hash);
        self.place(file.into_temp_path(), &path, None)?;
        Ok(path)
    }

    /// Renames into place and syncs the folders. `new` names a video: a file of that hash and length is left as it is.
    fn place(&self, from: TempPath, to: &Path, new: Option<(ContentHash, u64)>) -> Result<(), MediaError> {
        let folder = to.parent().unwrap_or(to);
        fs::create_dir_all(folder)?;
        {
            // Held over two short system calls: a discard of the same hash must see all of this or nothing.
            let mut state = self.lock();
            let existing = fs::metadata(to).ok().map(|file| file.len());
            if new.is_none_or(|(_, length)| existing != Some(length)) {
                from.persist(to).map_err(|failed| failed.error)?;
                if let Some(publishing) = new.and_then(|(hash, _)| state.publishing.get_mut(&hash)) {
                    publishing.fresh |= existing.is_none();
                }
            }
        }
        // Also when the file was there: whoever made it may not have come this far.
        sync_folder(folder)?;
        folder.parent().map_or(Ok(()), sync_folder)?;
        Ok(())
    }

    fn claim(&self, hash: ContentHash) -> Kept {
        let mut state = self.lock();
        state.publishing.entry(hash).or_default().count += 1;
        if let Some(kept) = &mut state.kept_since_sweep {
            kept.insert(hash);
        }
        Kept {
            store: self.clone(),
            hash,
            verdict: Verdict::Discarded,
        }
    }

    /// A new file of this process in the spool folder, readable by its owner only; gone when dropped.
    pub(super) fn temporary(&self) -> Result<NamedTempFile, MediaError> {
        Ok(tempfile::Builder::new()
            .prefix(&self.shared.prefix)
            .suffix(".part")
            .tempfile_in(&self.shared.spool)?)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    pub(super) fn spool_folder(&self) -> &Path {
        &self.shared.spool
    }

    /// The folders of kept files with the ending their files have.
    pub(super) fn kept_folders(&self) -> [(&Path, &'static str); 2] {
        [(&self.shared.videos, "mp4"), (&self.shared.covers, "jpg")]
    }
}

fn path_in(folder: &Path, hash: &ContentHash, ending: &str) -> PathBuf {
    let name = hash.to_string();
    folder.join(&name[..2]).join(format!("{name}.{ending}"))
}

/// Makes a rename or a new folder inside `folder` survive a power cut.
fn sync_folder(folder: &Path) -> Result<(), MediaError> {
    Ok(File::open(folder)?.sync_all()?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Committed,
    Discarded,
    Unknown,
}

/// A stored video that no row refers to yet. Dropped without a word it counts as "may be referenced": the file stays,
/// and the next sweep decides.
#[derive(Debug)]
#[must_use = "tell it whether the row was written"]
pub struct Kept {
    store: Store,
    hash: ContentHash,
    verdict: Verdict,
}

impl Kept {
    /// The name to write into the row.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The row is written.
    pub fn commit(mut self) {
        self.verdict = Verdict::Committed;
    }

    /// The row was certainly not written. Removes the file (and its cover) if this or another failed publish created it
    /// and nobody else is publishing the same bytes. When the outcome is not certain, drop the guard instead.
    pub async fn discard(mut self) {
        self.verdict = Verdict::Discarded;
        // Nothing to report: what could not be removed is an orphan for the next sweep.
        let _ = blocking(move || {
            drop(self);
            Ok(())
        })
        .await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        let Entry::Occupied(mut entry) = state.publishing.entry(self.hash) else {
            return;
        };
        let publishing = entry.get_mut();
        publishing.count = publishing.count.saturating_sub(1);
        publishing.referenced |= self.verdict != Verdict::Discarded;
        if publishing.count > 0 {
            return;
        }
        let orphaned = publishing.fresh && !publishing.referenced;
        entry.remove();
        if orphaned {
            // Under the lock, so that a new publish of the same bytes comes before or after, never in between.
            let _ = fs::remove_file(self.store.video_path(&self.hash));
            let _ = fs::remove_file(self.store.cover_path(&self.hash));
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
