//! The start: where the store's mark is, what the ledger holds past it, and then the threads.

use std::sync::{Arc, Mutex};

use actix::{Addr, Supervisor};
use ovation_schema::StoreError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::fatal::Fatal;
use super::inbox::Inbox;
use super::ledger_thread::LedgerThread;
use super::like_store::LikeStore;
use super::shared::Shared;
use super::writer::Writer;
use super::{Counters, Inner, Settings};
use crate::flusher::Flusher;
use crate::ledger::{GROUP_MAX, Ledger, LedgerError};
use crate::overlay::Overlay;

/// Entries read at once.
const CHUNK: usize = 10_000;

/// Requests for a flush that may wait.
const FLUSH_REQUESTS: usize = 16;

/// Why the counters do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store takes its likes from elsewhere.
    #[error(
        "the database belongs to the ledger {theirs}, but the data folder holds the ledger {ours}: start with the data \
         folder this database was used with. If that one is lost for good, `ovation ledger begin` goes on without it"
    )]
    OtherLedger {
        /// The ledger the store names.
        theirs: String,
        /// The ledger that is here.
        ours: String,
    },
    /// The store is older than what the ledger still holds.
    #[error(
        "the database has likes up to {mark} only, and the ledger has nothing left before {trimmed_to}: it is an old \
         backup; restore a newer one"
    )]
    TooOld {
        /// The store's mark.
        mark: i64,
        /// What the ledger has forgotten.
        trimmed_to: i64,
    },
    /// The ledger can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store can't be asked for its mark.
    #[error("the likes can't start: {0}")]
    Store(#[from] StoreError),
    /// No thread.
    #[error("the likes' threads can't start: {0}")]
    Thread(#[from] std::io::Error),
}

impl Counters {
    /// Reads the store's mark, loads what the ledger holds past it, and starts. Needs a tokio runtime around it only for
    /// the store's sake; the counters have a thread of their own. `on_fatal` must end the process: it is called once,
    /// from whatever thread, when something that can't be restarted is lost.
    pub async fn start<S: LikeStore>(
        ledger: Box<dyn Ledger>,
        store: S,
        settings: Settings,
        on_fatal: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let fatal = Fatal::new(on_fatal);
        let group_max = settings.group_max.clamp(1, GROUP_MAX);
        let settings = Settings { group_max, ..settings };
        let ready = Ready::prepare(ledger, store, settings, fatal, LedgerThread::start).await?;
        let (started, counters) = oneshot::channel();
        let guard = ready.fatal.guard("the counters' thread");
        let thread = std::thread::Builder::new().name("counters".into()).spawn(move || {
            let _guard = guard;
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            let local = tokio::task::LocalSet::new();
            let fatal = ready.fatal.clone();
            local.block_on(&runtime, async {
                let (counters, _, mut end) = ready.spawn();
                // The handle must not live here, or it would never be dropped.
                drop(started.send(Ok(counters)));
                // An error means that the last handle is gone.
                let _ = end.wait_for(|end| *end).await;
                fatal.silence();
            });
        })?;
        let counters = counters
            .await
            .map_err(|_| std::io::Error::other("the counters' thread ended at once"))??;
        *counters
            .0
            .thread
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(thread);
        Ok(counters)
    }
}

/// Everything that is known before the actor runs.
pub(super) struct Ready<S> {
    store: Arc<S>,
    ledger: LedgerThread,
    ledger_id: Arc<str>,
    shared: Arc<Shared>,
    settings: Settings,
    fatal: Fatal,
}

impl<S: LikeStore> Ready<S> {
    pub(super) async fn prepare(
        mut ledger: Box<dyn Ledger>,
        store: S,
        settings: Settings,
        fatal: Fatal,
        thread: impl FnOnce(Box<dyn Ledger>, &Fatal) -> std::io::Result<LedgerThread>,
    ) -> Result<Self, StartError> {
        let ledger_id: Arc<str> = Arc::from(ledger.id());
        let mark = match store.mark().await? {
            Some(mark) => mark,
            None => store.adopt(ledger_id.to_string(), 0).await?,
        };
        if *mark.ledger_id != *ledger_id {
            let ours = ledger_id.to_string();
            return Err(StartError::OtherLedger {
                theirs: mark.ledger_id,
                ours,
            });
        }
        let mark = mark.position;
        let trimmed_to = ledger.trimmed_to();
        if mark < trimmed_to {
            return Err(StartError::TooOld { mark, trimmed_to });
        }
        ledger.skip_to(mark)?;
        let ledger = thread(ledger, &fatal)?;
        let overlay = ledger.run(move |ledger| load(ledger, mark)).await?;
        Ok(Self {
            store: Arc::new(store),
            ledger,
            ledger_id,
            shared: Arc::new(Shared::new(overlay, mark)),
            settings,
            fatal,
        })
    }

    /// Starts the actor and the flusher on the current thread's local set.
    pub(super) fn spawn(self) -> (Counters, Addr<Writer<S>>, watch::Receiver<bool>) {
        let (end, ended) = watch::channel(false);
        let (flush, requests) = mpsc::channel(FLUSH_REQUESTS);
        let flusher = Flusher::new(
            Arc::clone(&self.store),
            self.ledger.clone(),
            Arc::clone(&self.ledger_id),
            Arc::clone(&self.shared),
            self.settings.clone(),
            self.fatal.clone(),
        );
        tokio::task::spawn_local(flusher.run(requests));
        let inbox = Inbox::default();
        let writer = Writer::new(
            self.store,
            self.ledger.clone(),
            self.ledger_id,
            Arc::clone(&self.shared),
            self.settings.clone(),
            self.fatal.clone(),
            inbox.taker(),
        );
        let address = Supervisor::start(move |_| writer);
        let counters = Counters(Arc::new(Inner {
            inbox,
            writer: address.clone().recipient(),
            places: Arc::new(Semaphore::new(self.settings.waiting_max)),
            places_max: self.settings.waiting_max,
            flush,
            shared: self.shared,
            fatal: self.fatal,
            ledger: Mutex::new(Some(self.ledger)),
            end,
            thread: Mutex::new(None),
        }));
        (counters, address, ended)
    }
}

fn load(ledger: &mut dyn Ledger, mark: i64) -> Result<Overlay, LedgerError> {
    let overlay = Overlay::starting_at(mark);
    let mut after = mark;
    loop {
        let entries = ledger.read(after, CHUNK)?;
        overlay.apply(&entries);
        match entries.last() {
            Some(last) => after = last.position,
            None => return Ok(overlay),
        }
    }
}
