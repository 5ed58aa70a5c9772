//! A ledger and a store in memory. Both outlive the counters, as disks do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use ovation_schema::likes::{Batch, Flushed, Mark, PairStates};
use ovation_schema::{StoreError, UserId, VideoId};

use crate::counters::LikeStore;
use crate::ledger::{Ledger, LedgerError, Quarantined, Stat};
use crate::{Entry, Like};

#[derive(Default)]
pub(super) struct Disk {
    pub(super) entries: Vec<Entry>,
    pub(super) last: i64,
    pub(super) trimmed_to: i64,
    pub(super) quarantine: Vec<Entry>,
    pub(super) appends: usize,
    /// What the next append answers. `Unsure` is recorded nevertheless.
    pub(super) append_fails: Option<LedgerError>,
    pub(super) panics: bool,
}

#[derive(Clone, Default)]
pub(super) struct FakeLedger(Arc<Mutex<Disk>>);

impl FakeLedger {
    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

impl Ledger for FakeLedger {
    fn id(&self) -> &'static str {
        "ours"
    }
    fn last_position(&self) -> i64 {
        self.disk().last
    }
    fn trimmed_to(&self) -> i64 {
        self.disk().trimmed_to
    }
    fn append(&mut self, likes: &[Like]) -> Result<RangeInclusive<i64>, LedgerError> {
        let mut disk = self.0.lock().unwrap();
        assert!(!disk.panics, "as the test wants it");
        let failure = disk.append_fails.take();
        if let Some(error) = failure.clone().filter(|error| !matches!(error, LedgerError::Unsure(_))) {
            return Err(error);
        }
        let first = disk.last + 1;
        for like in likes {
            disk.last += 1;
            let position = disk.last;
            disk.entries.push(Entry { position, like: *like });
        }
        disk.appends += 1;
        failure.map_or(Ok(first..=disk.last), Err)
    }
    fn read(&mut self, after: i64, limit: usize) -> Result<Vec<Entry>, LedgerError> {
        let disk = self.disk();
        assert!(after >= disk.trimmed_to);
        Ok(disk
            .entries
            .iter()
            .filter(|entry| entry.position > after)
            .take(limit)
            .copied()
            .collect())
    }
    fn skip_to(&mut self, position: i64) -> Result<(), LedgerError> {
        let mut disk = self.disk();
        disk.last = disk.last.max(position);
        Ok(())
    }
    fn trim(&mut self, _flushed: i64, _now_ms: i64) -> Result<u64, LedgerError> {
        Ok(0)
    }
    fn stat(&mut self) -> Result<Stat, LedgerError> {
        Ok(Stat::default())
    }
    fn quarantine(&mut self, entries: &[Entry], _reason: &str) -> Result<(), LedgerError> {
        self.disk().quarantine.extend(entries);
        Ok(())
    }
    fn quarantined(&mut self) -> Result<Vec<Quarantined>, LedgerError> {
        Ok(Vec::new())
    }
}

/// What the store has committed.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) mark: i64,
    pub(super) pairs: BTreeSet<(i64, i64)>,
    pub(super) counts: BTreeMap<i64, i64>,
}

impl Rows {
    pub(super) fn video_count(&self, video: i64) -> i64 {
        self.counts.get(&video).copied().unwrap_or(0)
    }
    pub(super) fn given(&self, user: i64) -> i64 {
        self.pairs.iter().filter(|(u, _)| *u == user).count() as i64
    }
    pub(super) fn received(&self, author: i64) -> i64 {
        self.pairs.iter().filter(|(_, video)| 100 + video == author).count() as i64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is done.
    Away,
    /// The commit happens, its answer is lost.
    LostAnswer,
    /// No answer at all; nothing is done.
    Hangs,
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) ledger_id: Option<String>,
    pub(super) rows: Rows,
    pub(super) batches: Vec<Batch>,
    pub(super) look_ups: usize,
    /// For the next flush only.
    pub(super) flush_fault: Option<Fault>,
    /// For all calls as long as it is set.
    pub(super) fault: Option<Fault>,
    /// A pair whose wish makes every batch fail.
    pub(super) poison: Option<(i64, i64)>,
}

/// Videos 1 to 50 exist; the author of video `v` is user `100 + v`.
#[derive(Clone, Default)]
pub(super) struct FakeStore(Arc<Mutex<Server>>);

impl FakeStore {
    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap()
    }
    pub(super) fn rows(&self) -> Rows {
        self.server().rows.clone()
    }
    async fn reach(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let fault = self.server().fault;
        match fault {
            None => Ok(()),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(_) => Err(StoreError::Unavailable("away".into())),
        }
    }
    fn apply(&self, batch: Batch) -> Result<Flushed, StoreError> {
        let mut server = self.server();
        let server = &mut *server;
        let rows = &mut server.rows;
        if rows.mark != batch.after {
            let ledger_id = "ours".into();
            return Ok(Flushed::Misplaced(Mark {
                ledger_id,
                position: rows.mark,
            }));
        }
        assert!(batch.wishes.is_sorted_by_key(|wish| (wish.user, wish.video)));
        assert!(batch.after < batch.first && batch.first <= batch.last);
        if batch
            .wishes
            .iter()
            .any(|wish| Some((wish.user.0, wish.video.0)) == server.poison)
        {
            return Err(StoreError::Internal("poison".into()));
        }
        for wish in &batch.wishes {
            let pair = (wish.user.0, wish.video.0);
            let changed = if wish.on {
                rows.pairs.insert(pair)
            } else {
                rows.pairs.remove(&pair)
            };
            if changed {
                *rows.counts.entry(pair.1).or_default() += if wish.on { 1 } else { -1 };
            }
        }
        rows.mark = batch.last;
        server.batches.push(batch);
        Ok(Flushed::Applied {
            dropped: 0,
            events: Vec::new(),
        })
    }
}

impl LikeStore for FakeStore {
    async fn look_up(&self, pairs: Vec<(UserId, VideoId)>) -> Result<(Option<Mark>, PairStates), StoreError> {
        self.reach().await?;
        let mut server = self.server();
        server.look_ups += 1;
        let mut states = PairStates::default();
        for (user, video) in pairs {
            if (1..=50).contains(&video.0) {
                states.authors.insert(video, UserId(100 + video.0));
            }
            if server.rows.pairs.contains(&(user.0, video.0)) {
                states.active.insert((user, video));
            }
        }
        let (ledger_id, position) = (server.ledger_id.clone().unwrap(), server.rows.mark);
        Ok((Some(Mark { ledger_id, position }), states))
    }

    async fn flush(&self, batch: Batch) -> Result<Flushed, StoreError> {
        self.reach().await?;
        let fault = self.server().flush_fault.take();
        match fault {
            None => self.apply(batch),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Away) => Err(StoreError::Unavailable("away".into())),
            Some(Fault::LostAnswer) => {
                self.apply(batch)?;
                Err(StoreError::Unavailable("the answer is lost".into()))
            }
        }
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.reach().await?;
        let server = self.server();
        let position = server.rows.mark;
        Ok(server.ledger_id.clone().map(|ledger_id| Mark { ledger_id, position }))
    }

    async fn adopt(&self, ledger_id: String, position: i64) -> Result<Mark, StoreError> {
        self.server().ledger_id.get_or_insert(ledger_id.clone());
        Ok(Mark { ledger_id, position })
    }
}
