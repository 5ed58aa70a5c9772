//! The thread that owns the ledger: its calls block, and nothing else may wait for a disk.

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::fatal::Fatal;
use crate::ledger::{Ledger, LedgerError};

type Job = Box<dyn FnOnce(&mut dyn Ledger) + Send>;

/// Jobs that may wait: one append, and what the flusher asks.
const WAITING: usize = 16;

/// Sends work to the ledger's thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct LedgerThread {
    jobs: mpsc::Sender<Job>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
    /// Runs the work in place, so that a test's stopped clock stands still meanwhile.
    #[cfg(test)]
    in_place: Option<Arc<Mutex<Box<dyn Ledger>>>>,
}

impl LedgerThread {
    pub(crate) fn start(mut ledger: Box<dyn Ledger>, fatal: &Fatal) -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let guard = fatal.guard("the ledger's thread");
        let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                job(ledger.as_mut());
            }
            // Nobody is left to send: this end is wanted.
            guard.disarm();
        })?;
        Ok(Self {
            jobs,
            thread: Arc::new(Mutex::new(Some(thread))),
            #[cfg(test)]
            in_place: None,
        })
    }

    #[cfg(test)]
    pub(crate) fn in_place(ledger: Box<dyn Ledger>) -> Self {
        Self {
            jobs: mpsc::channel(1).0,
            thread: Arc::new(Mutex::new(None)),
            in_place: Some(Arc::new(Mutex::new(ledger))),
        }
    }

    /// Runs `work` on the ledger, after everything that was sent before. It runs even when the caller goes away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        #[cfg(test)]
        if let Some(ledger) = &self.in_place {
            tokio::task::yield_now().await;
            return work(ledger.lock().expect("no panic before").as_mut());
        }
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |ledger| {
            // A caller that went away has no use for the result.
            let _ = reply.send(work(ledger));
        });
        let gone = || LedgerError::Unavailable("its thread is gone".into());
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Waits for the thread's end, so that the ledger's file is closed. Blocks. All clones must be gone, or going.
    pub(crate) fn join(self) {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        drop(self.jobs);
        if let Some(thread) = thread {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}
