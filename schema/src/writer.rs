//! SQLite's one writer.
//!
//! Owns the only connection that changes the file. Jobs wait in a bounded queue; those that wait at the same time share
//! one commit (and its sync), each under a savepoint of its own, and are answered after it. Never answers before the
//! commit, never lets one job's failure undo another's work.
//!
//! Why one: SQLite lets one transaction write at a time, and one that reads first and writes later fails at once when
//! another has committed in between. Here nobody ever meets that error. The price is that a slow job delays the others;
//! writes are short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{BUSY_TIMEOUT_MS, DbConnection};
use crate::error::StoreError;

/// Jobs that may wait. Beyond it a write is refused as busy.
const QUEUE: usize = 4096;
/// Jobs that share one commit at most, and how long the group may hold the file. Both bound how long the first waits.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(20);

pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    closing: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

impl Writer {
    /// Starts the writer's thread around its connection to the file `path`.
    pub(crate) fn start(connection: DbConnection, path: &Path) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn({
                let log = Log::of(path);
                move || run(connection, jobs, log)
            })
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self {
            queue,
            closing: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a change; the future ends when it is committed or refused.
    pub(crate) fn submit<T, F>(
        &self,
        change: F,
    ) -> Result<impl Future<Output = Result<T, StoreError>> + use<T, F>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the store is closed".into());
        if self.closing.load(Ordering::Relaxed) {
            return Err(closed());
        }
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Change {
            work: change,
            outcome: None,
            reply,
        });
        self.queue.try_send(Message::Job(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        Ok(async move { answer.await.unwrap_or_else(|_| Err(closed())) })
    }

    /// Lets the thread end after the jobs it has accepted, and waits for it. Blocks.
    pub(crate) fn close(&self) {
        // The queue may be full of jobs; the writer drains it, so a place becomes free, and nobody new takes it.
        self.closing.store(true, Ordering::Relaxed);
        let mut message = Message::Close;
        while let Err(mpsc::error::TrySendError::Full(back)) = self.queue.try_send(message) {
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the SQLite writer ended by a panic");
        }
    }
}

/// One waiting change, whatever it returns.
trait Job: Send {
    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Runs it. False: it failed, and what it did must be rolled back.
    fn run(&mut self, connection: &mut DbConnection) -> bool;
    /// Answers it, after the commit or after what stood in its way.
    fn finish(self: Box<Self>, committed: Result<(), &str>);
}

struct Change<T, F> {
    work: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: Fn(&mut DbConnection) -> Result<T, StoreError> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &mut DbConnection) -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(connection)))
            .unwrap_or_else(|_| Err(StoreError::Internal("a change panicked".into())));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<(), &str>) {
        let answer = match (self.outcome, committed) {
            // A job that failed by itself keeps its own reason.
            (Some(Err(error)), _) => Err(error),
            (Some(ok), Ok(())) => ok,
            (_, Err(reason)) => Err(StoreError::Unavailable(reason.to_owned())),
            (None, Ok(())) => Err(StoreError::Internal("a change was never run".into())),
        };
        // The caller may have gone away; its change stands all the same.
        let _ = self.reply.send(answer);
    }
}

fn run(mut connection: DbConnection, mut jobs: mpsc::Receiver<Message>, mut log: Log) {
    let mut closing = false;
    while !closing {
        let Some(Message::Job(first)) = jobs.blocking_recv() else {
            break;
        };
        closing = group(&mut connection, first, &mut jobs);
        log.fold_when_long(&mut connection);
    }
    jobs.close();
    while let Ok(message) = jobs.try_recv() {
        if let Message::Job(job) = message {
            group(&mut connection, job, &mut jobs);
        }
    }
    if let Err(error) = connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the SQLite log could not be folded into its file; the next start does it");
    }
}

/// SQLite's log. It starts over by itself only in a moment without readers, and under load there is none: it would grow
/// with every write. So a long one is folded in here, which holds the writer back for as long as the readers of this
/// moment take, but never longer than [`Log::WAIT`].
struct Log {
    path: PathBuf,
    next_look: Instant,
}

impl Log {
    const LONG: u64 = 16 << 20;
    const WAIT: Duration = Duration::from_secs(1);
    /// Between two looks at its length.
    const LOOK: Duration = Duration::from_millis(20);
    /// After a reader that took longer than that.
    const PAUSE: Duration = Duration::from_secs(10);

    fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self {
            path: path.into(),
            next_look: Instant::now(),
        }
    }

    fn fold_when_long(&mut self, connection: &mut DbConnection) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + Self::LOOK;
        if !self.is_long() {
            return;
        }
        let folded = connection
            .batch_execute(&format!("PRAGMA busy_timeout = {}", Self::WAIT.as_millis()))
            .and_then(|()| connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)"));
        let restored = connection.batch_execute(&format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"));
        if let Err(error) = folded.and(restored) {
            tracing::warn!(%error, "the SQLite log is long and could not be folded into its file");
        }
        if self.is_long() {
            self.next_look = Instant::now() + Self::PAUSE;
        }
    }

    fn is_long(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|log| log.len() >= Self::LONG)
    }
}

/// Runs `first` and whatever else waits as one transaction. True when the close was among it.
fn group(connection: &mut DbConnection, first: Box<dyn Job>, jobs: &mut mpsc::Receiver<Message>) -> bool {
    // While another process holds the file each try takes the whole busy timeout: not for somebody who has gone.
    if first.is_abandoned() {
        return false;
    }
    let start = Instant::now();
    let mut done: Vec<Box<dyn Job>> = Vec::new();
    let mut closing = false;
    let mut failure = connection
        .batch_execute("BEGIN IMMEDIATE")
        .err()
        .map(|error| error.to_string());
    let mut next = Some(first);
    while let Some(mut job) = next.take() {
        if failure.is_none() && !job.is_abandoned() {
            failure = one(connection, job.as_mut()).err();
        }
        done.push(job);
        if failure.is_some() || done.len() >= GROUP || start.elapsed() >= GROUP_TIME {
            break;
        }
        match jobs.try_recv() {
            Ok(Message::Job(job)) => next = Some(job),
            Ok(Message::Close) => closing = true,
            Err(_) => {}
        }
    }
    if failure.is_none() {
        failure = connection.batch_execute("COMMIT").err().map(|error| error.to_string());
    }
    if let Some(reason) = &failure {
        tracing::warn!(reason, jobs = done.len(), "a group of writes was not committed");
        // SQLite may have rolled back already (a full disk does that); a second time is an error to ignore.
        let _ = connection.batch_execute("ROLLBACK");
    }
    let committed = failure.as_deref().map_or(Ok(()), Err);
    for job in done {
        job.finish(committed);
    }
    closing
}

/// Runs one job of a group. `Err`: the transaction as a whole is lost.
fn one(connection: &mut DbConnection, job: &mut dyn Job) -> Result<(), String> {
    connection
        .batch_execute("SAVEPOINT job")
        .map_err(|error| error.to_string())?;
    let end = if job.run(connection) {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    connection.batch_execute(end).map_err(|error| error.to_string())
}
