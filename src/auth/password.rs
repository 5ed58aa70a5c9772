//! Passwords: hashed and verified on a small pool of their own, so that a login storm can't starve the rest.
//!
//! Owns the pool, its queue and who waits how long. Never logs, prints or keeps a password; a `String` is not wiped from
//! memory when freed, which would need every copy on the way here to be wiped as well.

mod hash;
mod priority;
mod scratch;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, mem};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::ApiError;

pub use hash::Cost;
use hash::Hasher;
use scratch::Scratch;

/// What became of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password, or no such user.
    Wrong,
    /// The password.
    Right {
        /// The stored hash was made under other parameters: store a new one while the password is at hand.
        rehash_needed: bool,
    },
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full, the wait was too long or the pool is stopping; nothing was done.
    #[error("too many passwords are waiting to be checked")]
    Busy,
    /// The hash function or the random numbers failed; what it was stands in the log.
    #[error("a password could not be processed")]
    Failed,
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Failed => Self::Internal,
        }
    }
}

/// How much the pool may take.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Threads, each of which needs the memory of one hash while it works. Default: half the cores, at least one.
    pub threads: NonZeroUsize,
    /// The most that may wait; one more is refused at once. Default 256, about 5 s of work for one thread.
    pub queue: usize,
    /// The longest that a caller waits for its result. Default 10 s.
    pub wait: Duration,
    /// What one hash costs. Default `Cost::OWASP`.
    pub cost: Cost,
}

impl Default for PoolSettings {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            threads: NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN),
            queue: 256,
            wait: Duration::from_secs(10),
            cost: Cost::OWASP,
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, PasswordError>>;

/// One password to work on. No `Debug`: it would print the password.
enum Job {
    Hash {
        password: String,
        reply: Reply<String>,
    },
    Verify {
        password: String,
        stored: Option<String>,
        reply: Reply<Verdict>,
    },
}

impl Job {
    /// The caller gave up: its client has gone or it has waited too long.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }

    fn run(self, hasher: &Hasher, scratch: &mut Scratch) {
        // A caller that left meanwhile needs no result.
        match self {
            Self::Hash { password, reply } => drop(reply.send(hasher.hash(&password, scratch))),
            Self::Verify {
                password,
                stored,
                reply,
            } => drop(reply.send(Ok(hasher.verify(&password, stored.as_deref(), scratch)))),
        }
    }
}

/// What the handle and the threads share.
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    hasher: Hasher,
    /// The system refuses the priority that the threads ask for; said once for all of them.
    refused: Once,
}

struct Waiting {
    jobs: VecDeque<Job>,
    open: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing inside can be left half done by a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job, bound: usize) -> Result<(), PasswordError> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= bound {
            waiting.jobs.retain(|job| !job.is_abandoned());
        }
        if !waiting.open || waiting.jobs.len() >= bound {
            return Err(PasswordError::Busy);
        }
        waiting.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job somebody still waits for; None when the pool stops. Nothing is kept in memory while there is none.
    fn next(&self, scratch: &mut Scratch) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if !waiting.open {
                return None;
            }
            match waiting.jobs.pop_front() {
                Some(job) if job.is_abandoned() => {}
                Some(job) => return Some(job),
                None if !scratch.is_empty() => {
                    // Outside the lock: it takes a millisecond, and whoever pushes is a thread that serves.
                    drop(waiting);
                    scratch.release();
                    waiting = self.lock();
                }
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn work(&self) {
        if let Err(error) = priority::step_back() {
            self.refused
                .call_once(|| tracing::warn!(%error, "password threads keep the priority of those that serve"));
        }
        let mut scratch = Scratch::default();
        while let Some(job) = self.next(&mut scratch) {
            // A panic must not cost a thread for good; the caller sees its reply dropped.
            if catch_unwind(AssertUnwindSafe(|| job.run(&self.hasher, &mut scratch))).is_err() {
                tracing::error!("a password thread panicked and goes on");
            }
        }
    }
}

/// The service: hashes and verifies passwords on its own threads. Share it in an `Arc`; dropping it stops the threads
/// after the hash they are at (about 20 ms) and answers all who wait with `Busy`.
pub struct PasswordHasher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    settings: PoolSettings,
}

impl PasswordHasher {
    /// Starts the threads. Fails when the system gives no thread or the cost is none that Argon2 takes.
    pub fn start(settings: PoolSettings) -> io::Result<Self> {
        let mut pool = Self {
            shared: Arc::new(Shared {
                waiting: Mutex::new(Waiting {
                    jobs: VecDeque::new(),
                    open: true,
                }),
                changed: Condvar::new(),
                hasher: Hasher::new(settings.cost).map_err(io::Error::other)?,
                refused: Once::new(),
            }),
            threads: Vec::new(),
            settings,
        };
        for number in 0..settings.threads.get() {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("password-{number}"));
            pool.threads.push(thread.spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// The PHC string to store for a password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let (reply, result) = oneshot::channel();
        self.run(Job::Hash { password, reply }, result).await
    }

    /// Whether `password` is the one behind the PHC string `stored`.
    ///
    /// None stands for an unknown user: the same work is done, so that neither the answer nor its time tells who has an
    /// account. (Until a user's next login after a change of cost, the old cost does show.)
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict, PasswordError> {
        let (reply, result) = oneshot::channel();
        let job = Job::Verify {
            password,
            stored,
            reply,
        };
        self.run(job, result).await
    }

    /// How many hashes were computed so far, the dummy ones of unknown users included.
    pub fn runs(&self) -> u64 {
        self.shared.hasher.runs()
    }

    /// Dropping the returned future drops the receiver, which abandons the job.
    async fn run<T>(&self, job: Job, result: oneshot::Receiver<Result<T, PasswordError>>) -> Result<T, PasswordError> {
        self.shared.push(job, self.settings.queue)?;
        match timeout(self.settings.wait, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(PasswordError::Busy),
        }
    }
}

impl Drop for PasswordHasher {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        waiting.open = false;
        let unanswered = mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(unanswered);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // `work` catches what could panic.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;
