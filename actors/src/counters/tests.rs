//! The whole way of a like, with a ledger and a store in memory that fail on demand, and a clock that tests move.

mod fakes;
mod faults;
mod model;
mod storm;
mod supervision;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::Addr;
use ovation_schema::{UserId, VideoId};

use super::fatal::Fatal;
use super::ledger_thread::LedgerThread;
use super::start::{Ready, StartError};
use super::writer::Writer;
use super::{Counters, CountersError, Outcome, Settings};
use fakes::{FakeLedger, FakeStore};

/// A running set of counters, on the test's own local set.
struct Running {
    counters: Counters,
    address: Addr<Writer<FakeStore>>,
    fatal: Arc<Mutex<Vec<String>>>,
}

impl Running {
    async fn start(ledger: &FakeLedger, store: &FakeStore) -> Self {
        Self::try_start(ledger, store, settings()).await.expect("starts")
    }

    async fn try_start(ledger: &FakeLedger, store: &FakeStore, settings: Settings) -> Result<Self, StartError> {
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reasons);
        let fatal = Fatal::new(move |reason| told.lock().unwrap().push(reason));
        let ledger = Box::new(ledger.clone());
        let ready = Ready::prepare(ledger, store.clone(), settings, fatal, |ledger, _| {
            Ok(LedgerThread::in_place(ledger))
        });
        let (counters, address, _) = ready.await?.spawn();
        Ok(Self {
            counters,
            address,
            fatal: reasons,
        })
    }

    async fn set(&self, user: i64, video: i64, on: bool) -> Result<Outcome, CountersError> {
        self.counters.set_favorite(UserId(user), VideoId(video), on).await
    }

    fn reasons(&self) -> Vec<String> {
        self.fatal.lock().unwrap().clone()
    }

    /// The count of a video as a reader sees it who reads now.
    fn count(&self, store: &FakeStore, video: i64) -> i64 {
        let rows = store.rows();
        let view = self.counters.overlay().view();
        view.video_count(VideoId(video), rows.video_count(video), rows.mark)
            .expect("fresh")
    }
}

fn settings() -> Settings {
    Settings {
        flush_max: 8,
        waiting_max: 100,
        ..Settings::default()
    }
}

/// Runs a test on a local set with a clock that stands until everything waits for it.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
