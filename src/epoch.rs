//! The streams' epoch: which life of the store a `seq` belongs to.
//!
//! Owns a small file in the data folder that remembers how far the store had got, so that a store restored from a backup
//! is noticed: its streams would hand out numbers again that clients have seen with other events. What happens within
//! the last beat, a minute at most, can't be noticed; `docs/operations.md` says what to do after a restore.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ovation_schema::{Store, StoreError, streams};
use serde::{Deserialize, Serialize};

/// The file in the data folder.
pub const FILE: &str = "streams.json";

/// What the data folder remembers of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    store_id: String,
    epoch: String,
    beat: i64,
}

/// The streams' life as this process knows it.
#[derive(Debug)]
pub struct Epoch {
    file: PathBuf,
    seen: Seen,
}

impl Epoch {
    /// Compares the store with what the data folder remembers of it; begins a new epoch where the store is older.
    pub async fn open(store: &Store, data_dir: &Path) -> anyhow::Result<Self> {
        let file = data_dir.join(FILE);
        let remembered = remembered(&file)?.filter(|seen| seen.store_id == store.store_id());
        let (epoch, beat) = store
            .read(|connection| Ok((streams::epoch(connection)?, streams::current_beat(connection)?)))
            .await?;
        // A backup of an earlier epoch is older as well, whatever its beat. After a crash between the two writes below a
        // new epoch begins once more, which costs every client a gap.
        let older = remembered.is_some_and(|seen| seen.epoch != epoch || seen.beat > beat);
        let epoch = if older {
            tracing::warn!(
                "the database is older than this data folder knows it: a restored backup. Streams begin anew"
            );
            store.write(streams::renew_epoch).await?
        } else {
            epoch
        };
        let seen = Seen {
            store_id: store.store_id().to_owned(),
            epoch,
            beat,
        };
        let mut epoch = Self { file, seen };
        // So that a backup taken before this start is told from one taken after it.
        epoch.beat(store).await?;
        Ok(epoch)
    }

    /// Raises the store's beat and remembers it; true where the store had gone back meanwhile, and a new epoch has begun.
    pub async fn beat(&mut self, store: &Store) -> Result<bool, StoreError> {
        let (beat, epoch) = store
            .write(|connection| Ok((streams::beat(connection)?, streams::epoch(connection)?)))
            .await?;
        // Higher by more than one: the answer of an earlier beat was lost.
        let went_back = epoch != self.seen.epoch || beat <= self.seen.beat;
        // Another epoch with a higher beat is our own, whose answer was lost; with a lower one, a backup's.
        if went_back && (epoch == self.seen.epoch || beat <= self.seen.beat) {
            self.seen.epoch = store.write(streams::renew_epoch).await?;
        } else {
            self.seen.epoch = epoch;
        }
        self.seen.beat = beat;
        if let Err(error) = self.remember() {
            tracing::warn!(%error, "the streams' state can't be written into the data folder");
        }
        Ok(went_back)
    }

    /// Whole or not at all, so that a crash leaves the older one, which is as good.
    fn remember(&self) -> std::io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &self.seen)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        Ok(())
    }
}

/// None where there is no file yet: a new data folder knows nothing.
fn remembered(file: &Path) -> anyhow::Result<Option<Seen>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
            format!("{FILE} in the data folder can't be read; delete it if it is damaged")
        })?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{FILE} in the data folder can't be read")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ovation_schema::{Database, Options};

    use super::*;

    async fn store(file: PathBuf) -> Store {
        let options = Options {
            database: Database::Sqlite(file),
            connections: 2,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
        };
        let open = tokio::task::spawn_blocking(move || Store::open(&options));
        open.await.unwrap().unwrap()
    }

    /// Copies a file of a store that is at rest.
    async fn stop_and_copy(store: Store, from: &Path, to: &Path) {
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
        std::fs::copy(from, to).unwrap();
    }

    #[tokio::test]
    async fn a_backup_from_before_an_earlier_restore_begins_a_new_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let (file, backup) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let first = store(file.clone()).await;
        let seen = Epoch::open(&first, folder.path()).await.unwrap().seen;
        stop_and_copy(first, &file, &backup).await;
        let mut again = store(file.clone()).await;
        let mut epoch = Epoch::open(&again, folder.path()).await.unwrap();
        assert_eq!(epoch.seen.epoch, seen.epoch, "nothing was restored");
        for _ in 0..2 {
            epoch.beat(&again).await.unwrap();
            stop_and_copy(again, &backup, &file).await;
            again = store(file.clone()).await;
            let before = epoch.seen.epoch;
            epoch = Epoch::open(&again, folder.path()).await.unwrap();
            assert_ne!(epoch.seen.epoch, before);
            assert_ne!(epoch.seen.epoch, seen.epoch, "its numbers were used before");
        }
    }
}
