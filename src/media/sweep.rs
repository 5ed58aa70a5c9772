//! Removes what nothing refers to: unfinished uploads of a dead process, videos without a row, covers without a video.
//!
//! Owns the walk; the caller says which hashes are referenced. Never reads file contents, never touches a name it would
//! not have given itself, and never what is being published meanwhile.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::hash::ContentHash;
use super::store::Store;

/// Hashes in one question to the caller: one SQL statement with room below every store's placeholder limit.
const BATCH: usize = 500;

/// What a sweep removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Unfinished uploads.
    pub spools: u64,
    /// Videos without a row.
    pub videos: u64,
    /// Covers of videos without a row.
    pub covers: u64,
}

/// Why a sweep stopped; what it removed until then stays removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError<E> {
    /// The folders can't be read or changed.
    #[error("the media folder can't be swept")]
    Disk(#[from] io::Error),
    /// The question which files are referenced failed.
    #[error("the references of media files can't be read")]
    Lookup(E),
}

impl Store {
    /// Sweeps all folders. `is_referenced` gets up to 500 hashes (64 hex digits each) and returns those that a row
    /// refers to, logically deleted rows included if their files shall stay. Blocking; memory for one batch.
    pub fn sweep<E>(
        &self,
        mut is_referenced: impl FnMut(&[String]) -> Result<HashSet<String>, E>,
    ) -> Result<Swept, SweepError<E>> {
        self.lock().kept_since_sweep = Some(HashSet::new());
        let swept = self.sweep_folders(&mut is_referenced);
        self.lock().kept_since_sweep = None;
        swept
    }

    fn sweep_folders<E>(
        &self,
        is_referenced: &mut impl FnMut(&[String]) -> Result<HashSet<String>, E>,
    ) -> Result<Swept, SweepError<E>> {
        let spools = self.sweep_spools()?;
        let mut counts = [0; 2];
        for (count, (folder, ending)) in counts.iter_mut().zip(self.kept_folders()) {
            for shelf in subfolders(folder)? {
                *count += self.sweep_shelf(&shelf, ending, is_referenced)?;
            }
        }
        let [videos, covers] = counts;
        Ok(Swept { spools, videos, covers })
    }

    fn sweep_spools(&self) -> Result<u64, io::Error> {
        let mut removed = 0;
        for entry in fs::read_dir(self.spool_folder())? {
            let entry = entry?;
            let own = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(self.prefix()));
            if !own && entry.file_type()?.is_file() {
                removed += u64::from(remove(&entry.path())?);
            }
        }
        Ok(removed)
    }

    fn sweep_shelf<E>(
        &self,
        folder: &Path,
        ending: &str,
        is_referenced: &mut impl FnMut(&[String]) -> Result<HashSet<String>, E>,
    ) -> Result<u64, SweepError<E>> {
        let mut removed = 0;
        let mut batch = Vec::new();
        for entry in fs::read_dir(folder)? {
            batch.extend(hash_of(&entry?, ending));
            if batch.len() == BATCH {
                removed += self.sweep_batch(folder, ending, &batch, is_referenced)?;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            removed += self.sweep_batch(folder, ending, &batch, is_referenced)?;
        }
        Ok(removed)
    }

    fn sweep_batch<E>(
        &self,
        folder: &Path,
        ending: &str,
        batch: &[String],
        is_referenced: &mut impl FnMut(&[String]) -> Result<HashSet<String>, E>,
    ) -> Result<u64, SweepError<E>> {
        let referenced = is_referenced(batch).map_err(SweepError::Lookup)?;
        let mut removed = 0;
        for name in batch.iter().filter(|name| !referenced.contains(*name)) {
            let state = self.lock();
            if ContentHash::parse(name).is_some_and(|hash| !state.is_claimed(&hash)) {
                removed += u64::from(remove(&folder.join(format!("{name}.{ending}")))?);
            }
        }
        Ok(removed)
    }
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, io::Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().len() == 2 && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The hash in a file name of ours; a stranger's file has none.
fn hash_of(entry: &DirEntry, ending: &str) -> Option<String> {
    let name = entry.file_name();
    let (hash, rest) = name.to_str()?.split_once('.')?;
    (rest == ending && ContentHash::parse(hash).is_some()).then(|| hash.to_owned())
}

/// `false` when it was gone already.
fn remove(path: &Path) -> Result<bool, io::Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn put(store: &Store, index: u64, cover: bool) -> ContentHash {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        digest[0] = 7; // one shelf, so that a batch fills
        let hash = ContentHash::new(digest);
        let path = store.video_path(&hash);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"v").unwrap();
        if cover {
            store.keep_cover(&hash, b"c").unwrap();
        }
        hash
    }

    #[test]
    fn only_what_nothing_refers_to_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hashes: Vec<_> = (1..=1_100).map(|index| put(&store, index, index % 100 == 0)).collect();
        fs::write(folder.path().join("spool/0123-dead.part"), b"x").unwrap();
        let live = store.temporary().unwrap();
        let foreign = folder.path().join("media/videos/07/readme.txt");
        fs::write(&foreign, b"not ours").unwrap();
        let referenced: HashSet<_> = hashes.iter().step_by(2).map(ToString::to_string).collect();
        let mut sizes = Vec::new();
        let swept = store.sweep(|batch| {
            sizes.push(batch.len());
            Ok::<_, Infallible>(
                batch
                    .iter()
                    .filter(|name| referenced.contains(*name))
                    .cloned()
                    .collect(),
            )
        });
        let expected = Swept {
            spools: 1,
            videos: 550,
            covers: 11,
        };
        assert_eq!(swept.unwrap(), expected);
        assert_eq!(sizes, [500, 500, 100, 11]);
        assert!(foreign.exists() && live.path().exists());
        for (index, hash) in hashes.iter().enumerate() {
            assert_eq!(store.video_path(hash).exists(), index % 2 == 0);
        }
    }

    #[test]
    fn a_failed_lookup_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hash = put(&store, 1, true);
        assert!(matches!(
            store.sweep(|_| Err("locked")),
            Err(SweepError::Lookup("locked"))
        ));
        assert!(store.video_path(&hash).exists() && store.cover_path(&hash).exists());
    }
}
